import { useEffect, useRef, useState } from "preact/hooks";
import type { Result, ResultFile } from "../types";

const GROUPS = [
  { kind: "novel-view", title: "Novel views" },
  { kind: "depth-picture", title: "Depth maps" },
  { kind: "contour-picture", title: "Contour on the radiographs" },
  { kind: "stage-picture", title: "Stage by stage" },
] as const;

function Enlarged({ file, close }: { file: ResultFile; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      onClose={close}
      class="panel m-auto max-h-[96vh] max-w-[96vw] overflow-hidden p-0 text-ink backdrop:bg-black/80"
    >
      <button type="button" class="block" onClick={close} aria-label="Close the picture">
        <img src={file.url} alt={file.title} class="max-h-[88vh] max-w-full" />
      </button>
      <p class="px-4 py-2 text-sm text-soft">{file.title}</p>
    </dialog>
  );
}

function Picture({ file, enlarge }: { file: ResultFile; enlarge: () => void }) {
  return (
    <button type="button" class="group text-left" onClick={enlarge}>
      <img
        src={file.url}
        alt=""
        loading="lazy"
        class="aspect-square w-full rounded-md border border-line bg-black object-contain group-hover:border-faint"
      />
      <span class="mt-1 block text-xs text-soft">{file.title}</span>
    </button>
  );
}

export function Gallery({ result }: { result: Result }) {
  const [enlarged, setEnlarged] = useState<ResultFile | null>(null);
  const shown = GROUPS.map((group) => ({ ...group, files: result.files.filter((f) => f.kind === group.kind) })).filter(
    ({ files }) => files.length > 0,
  );
  return (
    <div class="space-y-6">
      {result.report.status === "reconstructed" && !result.report.scale.known && (
        <p class="text-sm font-semibold text-warn">SHAPE ONLY: no lengths in mm.</p>
      )}
      {shown.length === 0 && <p class="text-sm text-soft">No pictures were rendered.</p>}
      {shown.map(({ kind, title, files }) => (
        <section key={kind}>
          <h2 class="mb-2 text-sm font-semibold">{title}</h2>
          <div class="grid grid-cols-[repeat(auto-fill,minmax(11rem,1fr))] gap-3">
            {files.map((file) => (
              <Picture key={file.path} file={file} enlarge={() => setEnlarged(file)} />
            ))}
          </div>
        </section>
      ))}
      {enlarged && <Enlarged file={enlarged} close={() => setEnlarged(null)} />}
    </div>
  );
}
