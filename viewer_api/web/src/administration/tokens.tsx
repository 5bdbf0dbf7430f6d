// Tokens of programs that come in by DICOMweb: a token itself is shown once, when it is made.

import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { TextField } from "../components/field";
import { Notice } from "../components/notice";
import { Tick } from "../components/tick";
import type { Token } from "../types";
import { momentOf } from "../words";
import { Confirmation, EditorEnd, useProposal } from "./proposal";

interface Draft {
  program: string;
  may_read: boolean;
  may_store: boolean;
}

interface EditorProps {
  propose: (draft: Draft) => void;
  close: () => void;
}

function Editor({ propose, close }: EditorProps) {
  const [draft, setDraft] = useState<Draft>({ program: "", may_read: true, may_store: false });
  const submit = (event: Event) => {
    event.preventDefault();
    propose(draft);
  };
  return (
    <form class="mt-3 grid gap-3 rounded-lg border border-line p-3 sm:grid-cols-3" onSubmit={submit}>
      <TextField
        label="For which program"
        required
        placeholder="ohif"
        value={draft.program}
        onValue={(program) => setDraft({ ...draft, program })}
      />
      <div class="flex flex-wrap items-end gap-x-5 gap-y-2 pb-2">
        <Tick
          label="searches and retrieves"
          value={draft.may_read}
          onValue={(may_read) => setDraft({ ...draft, may_read })}
        />
        <Tick
          label="stores radiographs"
          value={draft.may_store}
          onValue={(may_store) => setDraft({ ...draft, may_store })}
        />
      </div>
      <EditorEnd close={close} />
    </form>
  );
}

interface RowProps {
  token: Token;
  propose: (value: Record<string, boolean> | null) => void;
  renew: () => void;
}

function Row({ token, propose, renew }: RowProps) {
  const { may_read, may_store, revoked } = token.value;
  const rights = [may_read && "reads", may_store && "stores"].filter(Boolean).join(" and ");
  const anew = () => {
    if (confirm(`Make a new token for ${token.program}? The one before is worth nothing from then on.`)) renew();
  };
  return (
    <tr class="border-t border-line align-top">
      <td class="py-2 pr-4 font-medium">{token.program}</td>
      <td class={`py-2 pr-4 ${revoked ? "text-bad" : "text-soft"}`}>{revoked ? "revoked" : rights}</td>
      <td class="py-2 pr-4 text-soft">
        made {momentOf(token.made_at)}, {token.used_at ? `used last ${momentOf(token.used_at)}` : "never used"}
      </td>
      <td class="py-2 text-right whitespace-nowrap">
        <button type="button" class="toggle" onClick={anew}>
          New token
        </button>
        <button type="button" class="toggle" onClick={() => propose({ revoked: !revoked })}>
          {revoked ? "Let in again" : "Revoke"}
        </button>
        <button type="button" class="toggle" onClick={() => propose(null)}>
          Remove
        </button>
      </td>
    </tr>
  );
}

function Secret({ program, token }: { program: string; token: string }) {
  return (
    <div class="mb-3 rounded-lg border border-line bg-raised p-3 text-sm" role="status">
      <p class="mb-2 text-soft">
        The token of {program}, shown this once. Programs send it as <code>Authorization: Bearer TOKEN</code>, or as the
        password of any user.
      </p>
      <code class="token font-mono text-xs break-all">{token}</code>
    </div>
  );
}

export function Tokens({ tokens, changed }: { tokens: Token[]; changed: () => void }) {
  const [added, setAdded] = useState<Draft | null>(null);
  const [isOpen, setOpen] = useState(false);
  const [made, setMade] = useState<{ program: string; token: string } | null>(null);
  const [problem, setProblem] = useState("");
  const renew = async (program: string) => {
    setProblem("");
    try {
      const { token } = await post<{ token: string }>(`/api/administration/tokens/${program}/secret`);
      setMade({ program, token });
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  const door = useProposal(() => {
    setOpen(false);
    if (added) renew(added.program);
    else changed();
  });
  const add = (draft: Draft) => {
    const { program, ...value } = draft;
    if (tokens.some((each) => each.program === program)) {
      setProblem(`There is a token for ${program} already.`);
      return;
    }
    setProblem("");
    setAdded(draft);
    door.propose({ subject: "token", name: program, value });
  };
  const propose = (program: string, value: Record<string, boolean> | null) => {
    setAdded(null);
    door.propose({ subject: "token", name: program, value });
  };
  return (
    <section class="panel p-4">
      <div class="mb-3 flex items-center justify-between">
        <h2 class="font-semibold">DICOMweb tokens</h2>
        <button type="button" class="button" onClick={() => setOpen(true)}>
          Add a token
        </button>
      </div>
      {problem && <Notice kind="bad">{problem}</Notice>}
      {made && <Secret program={made.program} token={made.token} />}
      <table class="w-full text-sm">
        <tbody>
          {tokens.map((token) => (
            <Row
              key={token.program}
              token={token}
              propose={(value) => propose(token.program, value)}
              renew={() => renew(token.program)}
            />
          ))}
        </tbody>
      </table>
      {tokens.length === 0 && <p class="text-sm text-soft">None: no other program reads or stores by DICOMweb.</p>}
      {isOpen && <Editor propose={add} close={() => setOpen(false)} />}
      <Confirmation door={door} />
    </section>
  );
}
