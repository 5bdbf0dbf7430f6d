// A change is first proposed: the server answers with the difference, and only then it is applied.

import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Notice } from "../components/notice";

export interface Proposal {
  subject: string; // "institution" or "peer"
  name: string; // the peer's AE title
  value: Record<string, unknown> | null; // null removes it
}

export function Difference({ lines }: { lines: string[] }) {
  return (
    <pre class="difference overflow-x-auto rounded-md bg-room px-3 py-2 font-mono text-xs leading-relaxed">
      {lines.map((line) => (
        <div key={line} class={line.startsWith("-") ? "text-bad" : "text-good"}>
          {line}
        </div>
      ))}
    </pre>
  );
}

export function useProposal(changed: () => void) {
  const [proposal, setProposal] = useState<Proposal | null>(null);
  const [lines, setLines] = useState<string[]>([]);
  const [problem, setProblem] = useState("");
  const propose = async (wanted: Proposal) => {
    setProblem("");
    try {
      const answer = await post<{ lines: string[] }>("/api/administration/preview", wanted);
      setLines(answer.lines);
      setProposal(wanted);
    } catch (error) {
      setProblem(messageOf(error));
      setProposal(null);
    }
  };
  const cancel = () => setProposal(null);
  const apply = async () => {
    try {
      await post("/api/administration/changes", proposal);
      setProposal(null);
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return { proposal, lines, problem, propose, cancel, apply };
}

export function Confirmation({ door }: { door: ReturnType<typeof useProposal> }) {
  const { proposal, lines, problem, cancel, apply } = door;
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
