// Orthanc servers whose change feed is watched: add, edit, remove, each shown as a difference first.

import { useState } from "preact/hooks";
import { TextField } from "../components/field";
import { Tick } from "../components/tick";
import type { Source } from "../types";
import { Confirmation, EditorEnd, useProposal } from "./proposal";

const NEW_SOURCE: Source = {
  name: "",
  value: { url: "", user_name: "", password_file: "", ca_file: "", history: false },
  taken: 0,
  problem: "",
};

type Entry = "url" | "user_name" | "password_file" | "ca_file";

const ENTRIES: [Entry, string, string][] = [
  ["url", "Address of its REST API", "https://orthanc:8042"],
  ["user_name", "User", ""],
  ["password_file", "Name of the password's file", "archive"],
  ["ca_file", "Name of the CA's file", "archive-ca.pem"],
];

interface EditorProps {
  source: Source;
  propose: (source: Source) => void;
  close: () => void;
}

function Editor({ source, propose, close }: EditorProps) {
  const [draft, setDraft] = useState(source);
  const say = (entry: Partial<Source["value"]>) => setDraft({ ...draft, value: { ...draft.value, ...entry } });
  const submit = (event: Event) => {
    event.preventDefault();
    propose(draft);
  };
  return (
    <form class="mt-3 grid gap-3 rounded-lg border border-line p-3 sm:grid-cols-3" onSubmit={submit}>
      {!source.name && (
        <TextField
          label="Name"
          required
          placeholder="archive"
          value={draft.name}
          onValue={(name) => setDraft({ ...draft, name })}
        />
      )}
      {ENTRIES.map(([entry, label, example]) => (
        <TextField
          key={entry}
          label={label}
          placeholder={example}
          required={entry === "url"}
          value={draft.value[entry]}
          onValue={(value) => say({ [entry]: value })}
        />
      ))}
      <div class="flex items-end pb-2">
        <Tick
          label="take what it holds already, too"
          value={draft.value.history}
          onValue={(history) => say({ history })}
        />
      </div>
      <EditorEnd place="sm:col-start-3" close={close} />
    </form>
  );
}

export function Sources({ sources, changed }: { sources: Source[]; changed: () => void }) {
  const [edited, setEdited] = useState<Source | null>(null);
  const door = useProposal(() => {
    setEdited(null);
    changed();
  });
  const propose = ({ name, value }: Source) => door.propose({ subject: "source", name, value });
  const drop = ({ name }: Source) => door.propose({ subject: "source", name, value: null });
  return (
    <section class="panel p-4">
      <div class="mb-3 flex items-center justify-between">
        <h2 class="font-semibold">Watched Orthanc servers</h2>
        <button type="button" class="button" onClick={() => setEdited(NEW_SOURCE)}>
          Add a server
        </button>
      </div>
      <table class="w-full text-sm">
        <tbody>
          {sources.map((source) => (
            <tr key={source.name} class="border-t border-line align-top">
              <td class="py-2 pr-4 font-medium">{source.name}</td>
              <td class="py-2 pr-4 text-soft">
                {source.value.url}
                {source.problem && <p class="text-xs text-bad">{source.problem}</p>}
              </td>
              <td class="py-2 pr-4 text-soft">{source.taken} images taken</td>
              <td class="py-2 text-right whitespace-nowrap">
                <button type="button" class="toggle" onClick={() => setEdited(source)}>
                  Edit
                </button>
                <button type="button" class="toggle" onClick={() => drop(source)}>
                  Remove
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {sources.length === 0 && (
        <p class="text-sm text-soft">
          None: what becomes stable on an Orthanc that does not send can be taken from it.
        </p>
      )}
      {edited && <Editor key={edited.name} source={edited} propose={propose} close={() => setEdited(null)} />}
      <Confirmation door={door} />
    </section>
  );
}
