// The results that a study has had: when, from what, and why another took the place of each.

import type { HistoryEntry, Result } from "../types";
import { momentOf } from "../words";
import { Notice } from "./notice";

interface HistoryProps {
  history: HistoryEntry[];
  shown: Result;
  open: (id: string) => void;
}

export function History({ history, shown, open }: HistoryProps) {
  return (
    <ul class="history space-y-2 text-sm text-soft">
      {history.map((entry) => (
        <li key={entry.id}>
          {momentOf(entry.created_at)} · {entry.status} from {entry.radiographs}{" "}
          {entry.radiographs === 1 ? "radiograph" : "radiographs"}
          {entry.id === shown.id ? (
            " · shown here"
          ) : (
            <button type="button" class="toggle ml-2" onClick={() => open(entry.id)}>
              Show
            </button>
          )}
          {entry.replaced_at && (
            <span class="block text-xs text-faint">
              Replaced {momentOf(entry.replaced_at)}: {entry.reason}
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

// Says of an earlier result that it does not hold any more, before anybody reads anything from it.
export function ReplacedBanner({ entry, back }: { entry: HistoryEntry | undefined; back: () => void }) {
  if (!entry?.replaced_at) return null;
  return (
    <div class="replaced mb-3">
      <Notice kind="warn">
        <strong>An earlier result.</strong> It was replaced {momentOf(entry.replaced_at)}: {entry.reason}.
        <button type="button" class="button ml-3" onClick={back}>
          Show the newest
        </button>
      </Notice>
    </div>
  );
}
