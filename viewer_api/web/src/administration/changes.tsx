import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Notice } from "../components/notice";
import type { Change } from "../types";
import { momentOf } from "../words";
import { Difference } from "./proposal";

export function Changes({ changes, changed }: { changes: Change[]; changed: () => void }) {
  const [problem, setProblem] = useState("");
  const undo = async (change: Change) => {
    setProblem("");
    try {
      await post(`/api/administration/changes/${change.id}/undo`);
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">Changes</h2>
      {problem && (
        <div class="mb-3">
          <Notice kind="bad">{problem}</Notice>
        </div>
      )}
      {changes.length === 0 && <p class="text-sm text-soft">Nothing was changed yet.</p>}
      <ul class="space-y-3">
        {changes.map((change) => (
          <li
            key={change.id}
            class="change grid gap-x-4 gap-y-1 border-t border-line pt-3 sm:grid-cols-[15rem_1fr_auto]"
          >
            <div class="text-sm">
              <p class="font-medium">{change.subject}</p>
              <p class="text-xs text-faint">
                {momentOf(change.changed_at)}
                <br />
                {change.who}, {change.source}
              </p>
            </div>
            <Difference lines={change.lines} />
            <div>
              {change.undoable && (
                <button type="button" class="button" onClick={() => undo(change)}>
                  Undo
                </button>
              )}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
