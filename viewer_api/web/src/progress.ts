// Follows a study's progress by server-sent events until it has arrived somewhere.

import { useEffect, useState } from "preact/hooks";
import type { Progress } from "./types";

export function useProgress(id: string, active: boolean, onArrived: () => void): Progress | undefined {
  const [progress, setProgress] = useState<Progress>();
  // A new `onArrived` is no reason to connect again.
  useEffect(() => {
    if (!active) return;
    const events = new EventSource(`/api/studies/${id}/progress`);
    events.addEventListener("progress", (event) => setProgress(JSON.parse(event.data) as Progress));
    events.addEventListener("changed", onArrived);
    events.addEventListener("arrived", () => {
      events.close();
      onArrived();
    });
    return () => events.close();
  }, [id, active]);
  return progress;
}
