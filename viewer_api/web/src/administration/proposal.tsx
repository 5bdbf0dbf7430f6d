// A change is first proposed: the server answers with the difference, and only then it is applied.

import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Notice } from "../components/notice";

interface Named {
  subject: string; // "institution", "peer", "source", "token" or "rule"
  name: string; // the peer's AE title, the rule's name, ...
}

export interface Proposal extends Named {
  value: Record<string, unknown> | null; // null removes it
}

interface Answer {
  lines: string[];
  notes?: string[]; // what the change would have done
}

export function Difference({ lines }: { lines: string[] }) {
  return (
    <pre class="difference rounded-md whitespace-pre-wrap bg-room px-3 py-2 font-mono text-xs leading-relaxed">
      {lines.map((line) => (
        <div key={line} class={line.startsWith("-") ? "text-bad" : "text-good"}>
          {line}
        </div>
      ))}
    </pre>
  );
}

export function useProposal<Wanted extends Named = Proposal>(changed: () => void, door = "/api/administration") {
  const [proposal, setProposal] = useState<Wanted | null>(null);
  const [answer, setAnswer] = useState<Answer>({ lines: [] });
  const [problem, setProblem] = useState("");
  const propose = async (wanted: Wanted) => {
    setProblem("");
    try {
      setAnswer(await post<Answer>(`${door}/preview`, wanted));
      setProposal(wanted);
    } catch (error) {
      setProblem(messageOf(error));
      setProposal(null);
    }
  };
  const cancel = () => setProposal(null);
  const apply = async () => {
    try {
      await post(`${door}/changes`, { ...proposal, agreed: answer.lines });
      setProposal(null);
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return { proposal, ...answer, problem, propose, cancel, apply };
}

// The end of a form that proposes a change; `place` says where in its grid.
export function EditorEnd({ place = "", close }: { place?: string; close: () => void }) {
  return (
    <div class={`flex items-end justify-end gap-2 ${place}`}>
      <button type="submit" class="button">
        Show the change
      </button>
      <button type="button" class="button" onClick={close}>
        Close
      </button>
    </div>
  );
}

interface Shown extends Answer {
  proposal: Named | null;
  problem: string;
  cancel: () => void;
  apply: () => void;
}

export function Confirmation({ door }: { door: Shown }) {
  const { proposal, lines, notes, problem, cancel, apply } = door;
  if (problem) {
    return (
      <div class="mt-3">
        <Notice kind="bad">{problem}</Notice>
      </div>
    );
  }
  if (!proposal) return null;
  if (lines.length === 0) {
    return (
      <div class="mt-3">
        <Notice kind="info">That is what is set already.</Notice>
      </div>
    );
  }
  return (
    <div class="mt-3 rounded-lg border border-line bg-raised p-3">
      <p class="mb-2 text-sm text-soft">
        This changes {proposal.subject} {proposal.name}:
      </p>
      <Difference lines={lines} />
      {notes && (
        <pre class="notes mt-2 max-h-60 overflow-auto px-3 font-mono text-xs leading-relaxed text-soft">
          {notes.join("\n")}
        </pre>
      )}
      <div class="mt-3 flex gap-2">
        <button type="button" class="button button-main" onClick={apply}>
          Apply
        </button>
        <button type="button" class="button" onClick={cancel}>
          Cancel
        </button>
      </div>
    </div>
  );
}
