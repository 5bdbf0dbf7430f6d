// A study that a rule left out: which rule, and a way to have it processed all the same.

import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { useMay } from "../session";
import { Notice } from "./notice";

export function LeftOut({ id, sentence, changed }: { id: string; sentence: string; changed: () => void }) {
  const may = useMay("upload");
  const [problem, setProblem] = useState("");
  const process = async () => {
    setProblem("");
    try {
      await post(`/api/studies/${id}/process`);
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <div class="flex flex-wrap items-center gap-3">
      <Notice kind="info">{sentence} It is kept, and not reconstructed.</Notice>
      {may && (
        <button type="button" class="button" onClick={process}>
          Process it anyway
        </button>
      )}
      {problem && <Notice kind="bad">{problem}</Notice>}
    </div>
  );
}
