// DICOM peers: add, edit, remove, each shown as a difference first; and an echo that says what is wrong.

import { useState } from "preact/hooks";
import { get, messageOf, post } from "../api";
import { Choice, TextField } from "../components/field";
import { Tick } from "../components/tick";
import type { Check, Peer } from "../types";
import { Confirmation, EditorEnd, useProposal } from "./proposal";

const ECHO_PATIENCE_MS = 30_000;
const ECHO_PAUSE_MS = 500;
const NEW_PEER: Peer = {
  id: "",
  ae_title: "",
  host: "",
  port: 104,
  allow_from: [],
  sends: true,
  receives: false,
  tls: false,
  requires_certificate: false,
  certificates: [],
  maximum_associations: 32,
  commitment: "auto",
  asked_for: "nothing",
  silence_alarm: true,
  dicomweb_url: "",
  dicomweb_user: "",
  dicomweb_password_file: "",
  dicomweb_token_file: "",
  dicomweb_ca_file: "",
};

type WebEntry =
  | "dicomweb_url"
  | "dicomweb_user"
  | "dicomweb_password_file"
  | "dicomweb_token_file"
  | "dicomweb_ca_file";

const WEB_ENTRIES: [WebEntry, string, string][] = [
  ["dicomweb_url", "DICOMweb address (called instead of by DIMSE)", "https://pacs:8043/dicom-web"],
  ["dicomweb_user", "DICOMweb user", ""],
  ["dicomweb_password_file", "Name of the password's file", "pacs-password"],
  ["dicomweb_token_file", "or name of the token's file", "pacs-token"],
  ["dicomweb_ca_file", "Name of the CA's file", "pacs-ca.pem"],
];

async function echo(peer: Peer): Promise<Check> {
  const { id } = await post<{ id: string }>(`/api/administration/peers/${peer.id}/checks`);
  const deadline = Date.now() + ECHO_PATIENCE_MS;
  while (Date.now() < deadline) {
    const check = await get<Check>(`/api/administration/checks/${id}`);
    if (check.finished) return check;
    await new Promise((resolve) => setTimeout(resolve, ECHO_PAUSE_MS));
  }
  const sentence = "Nobody carried out the check: is the node's delivery process running? `bonecraft status` shows it.";
  return { finished: false, ok: false, sentence };
}

function Echo({ peer }: { peer: Peer }) {
  const [check, setCheck] = useState<Check>();
  const [busy, setBusy] = useState(false);
  const ask = async () => {
    setBusy(true);
    try {
      setCheck(await echo(peer));
    } catch (error) {
      setCheck({ finished: true, ok: false, sentence: messageOf(error) });
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" class="toggle" onClick={ask} disabled={busy} aria-label={`Echo ${peer.ae_title}`}>
        {busy ? "Calling…" : "Echo"}
      </button>
      {check && (
        <p role="status" class={`max-w-80 text-xs whitespace-normal ${check.ok ? "text-good" : "text-bad"}`}>
          {check.sentence}
        </p>
      )}
    </>
  );
}

function listed(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
}

interface EditorProps {
  peer: Peer;
  propose: (peer: Peer) => void;
  close: () => void;
}

function Editor({ peer, propose, close }: EditorProps) {
  const [draft, setDraft] = useState(peer);
  const [networks, setNetworks] = useState(peer.allow_from.join(", "));
  const [certificates, setCertificates] = useState(peer.certificates.join(", "));
  const submit = (event: Event) => {
    event.preventDefault();
    propose({ ...draft, allow_from: listed(networks), certificates: listed(certificates) });
  };
  return (
    <form class="mt-3 grid gap-3 rounded-lg border border-line p-3 sm:grid-cols-3" onSubmit={submit}>
      {!peer.id && (
        <TextField
          label="AE title"
          required
          value={draft.ae_title}
          onValue={(ae_title) => setDraft({ ...draft, ae_title })}
        />
      )}
      <TextField label="Host" required value={draft.host} onValue={(host) => setDraft({ ...draft, host })} />
      <TextField
        label="Port"
        type="number"
        required
        value={String(draft.port)}
        onValue={(port) => setDraft({ ...draft, port: Number(port) })}
      />
      <TextField label="May call from" placeholder="10.0.0.0/24" value={networks} onValue={setNetworks} />
      <Choice
        label="Is asked by itself for"
        value={draft.asked_for}
        onValue={(asked) => setDraft({ ...draft, asked_for: asked as Peer["asked_for"] })}
      >
        <option value="nothing">nothing</option>
        <option value="missing-views">views that a study lacks</option>
        <option value="priors">missing views, and an earlier study</option>
      </Choice>
      <TextField
        label="Associations at a time"
        type="number"
        min="1"
        required
        value={String(draft.maximum_associations)}
        onValue={(most) => setDraft({ ...draft, maximum_associations: Number(most) })}
      />
      <TextField
        label="Certificates, its own or their CA's"
        placeholder="SHA-256 fingerprints; none: any trusted"
        value={certificates}
        onValue={setCertificates}
      />
      <div class="flex flex-wrap items-end gap-x-5 gap-y-2 pb-2">
        <Tick label="sends to us" value={draft.sends} onValue={(sends) => setDraft({ ...draft, sends })} />
        <Tick
          label="gets the results"
          value={draft.receives}
          onValue={(receives) => setDraft({ ...draft, receives })}
        />
        <Tick label="called over TLS" value={draft.tls} onValue={(tls) => setDraft({ ...draft, tls })} />
        <Tick
          label="must show a certificate"
          value={draft.requires_certificate}
          onValue={(requires_certificate) => setDraft({ ...draft, requires_certificate })}
        />
        <Tick
          label="commits itself to keep them, where it can"
          value={draft.commitment === "auto"}
          onValue={(asked) => setDraft({ ...draft, commitment: asked ? "auto" : "never" })}
        />
        <Tick
          label="tell when it is silent for unusually long"
          value={draft.silence_alarm}
          onValue={(silence_alarm) => setDraft({ ...draft, silence_alarm })}
        />
      </div>
      {WEB_ENTRIES.map(([entry, label, example]) => (
        <TextField
          key={entry}
          label={label}
          placeholder={example}
          value={draft[entry]}
          onValue={(value) => setDraft({ ...draft, [entry]: value })}
        />
      ))}
      <EditorEnd place="sm:col-start-3" close={close} />
    </form>
  );
}

// Everything else that is set of a peer, so that what this page does not show stays as it is.
function settingsOf(peer: Peer): Record<string, unknown> {
  const { id, institution_id, ae_title, ...settings } = peer;
  return settings;
}

export function Peers({ peers, changed }: { peers: Peer[]; changed: () => void }) {
  const [edited, setEdited] = useState<Peer | null>(null);
  const door = useProposal(() => {
    setEdited(null);
    changed();
  });
  const propose = (peer: Peer) => door.propose({ subject: "peer", name: peer.ae_title, value: settingsOf(peer) });
  const drop = (peer: Peer) => door.propose({ subject: "peer", name: peer.ae_title, value: null });
  return (
    <section class="panel p-4">
      <div class="mb-3 flex items-center justify-between">
        <h2 class="font-semibold">DICOM peers</h2>
        <button type="button" class="button" onClick={() => setEdited(NEW_PEER)}>
          Add a peer
        </button>
      </div>
      <div class="overflow-x-auto">
        <table class="w-full text-sm">
          <thead>
            <tr>
              <th class="py-2 pr-4">AE title</th>
              <th class="py-2 pr-4">Address</th>
              <th class="py-2 pr-4">May call from</th>
              <th class="py-2 pr-4">Rights</th>
              <th class="py-2" />
            </tr>
          </thead>
          <tbody>
            {peers.map((peer) => (
              <tr key={peer.id} class="border-t border-line align-top">
                <td class="py-2 pr-4 font-medium">{peer.ae_title}</td>
                <td class="py-2 pr-4 text-soft">
                  {peer.host}:{peer.port}
                </td>
                <td class="py-2 pr-4 text-soft">{peer.allow_from.join(", ") || "nowhere"}</td>
                <td class="py-2 pr-4 text-soft">
                  {[
                    peer.sends && "sends",
                    peer.receives && "gets results",
                    peer.tls && "over TLS",
                    peer.dicomweb_url && "by DICOMweb",
                  ]
                    .filter(Boolean)
                    .join(", ") || "none"}
                </td>
                <td class="py-2 text-right whitespace-nowrap">
                  <button type="button" class="toggle" onClick={() => setEdited(peer)}>
                    Edit
                  </button>
                  <button type="button" class="toggle" onClick={() => drop(peer)}>
                    Remove
                  </button>
                  <Echo peer={peer} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {peers.length === 0 && <p class="border-t border-line py-4 text-sm text-soft">No peers: nobody may send.</p>}
      </div>
      {edited && <Editor key={edited.id} peer={edited} propose={propose} close={() => setEdited(null)} />}
      <Confirmation door={door} />
    </section>
  );
}
