import type { Result, ResultFile } from "../types";
import { sizeOf } from "../words";

const GROUPS = [
  { title: "Meshes", kinds: ["scene", "scene-low-poly", "print-pack", "mesh", "mesh-low-poly", "point-cloud"] },
  {
    title: "DICOM",
    kinds: [
      "surface-segmentation",
      "secondary-capture",
      "turntable",
      "key-rendering",
      "measurement-page",
      "measurement-report",
      "key-objects",
      "encapsulated-stl",
      "surface-segmentation-manifold-unknown",
      "presentation-state",
      "film-segmentation",
      "report-document",
      "turntable-frames",
      "encapsulated-obj",
      "refusal-picture",
      "refusal-report",
    ],
  },
  { title: "Depth arrays and report", kinds: ["depth-array", "report-page"] },
] as const;

function extensionOf(file: ResultFile): string {
  return (file.path.split(".").at(-1) ?? "").toUpperCase();
}

function Download({ file }: { file: ResultFile }) {
  return (
    <li>
      <a
        class="flex items-center gap-3 rounded-md border border-line px-3 py-2 text-sm hover:border-faint hover:bg-raised"
        href={`${file.url}?download=1`}
        download
      >
        <span class="w-12 shrink-0 text-xs font-semibold text-bone">{extensionOf(file)}</span>
        <span class="min-w-0 flex-1 truncate">{file.title}</span>
        <span class="text-xs text-faint">{sizeOf(file.size)}</span>
      </a>
    </li>
  );
}

export function Downloads({ result }: { result: Result }) {
  const groups = GROUPS.map(({ title, kinds }) => ({
    title,
    files: result.files.filter((file) => (kinds as readonly string[]).includes(file.kind)),
  }));
  return (
    <div class="grid gap-6 md:grid-cols-3">
      {groups
        .filter(({ files }) => files.length > 0)
        .map(({ title, files }) => (
          <section key={title}>
            <h2 class="mb-2 text-sm font-semibold">{title}</h2>
            <ul class="space-y-1.5">
              {files.map((file) => (
                <Download key={file.path} file={file} />
              ))}
            </ul>
          </section>
        ))}
      {result.report.status === "reconstructed" && !result.report.scale.known && (
        <p class="text-sm font-semibold text-warn md:col-span-3">SHAPE ONLY: the units of these files are not mm.</p>
      )}
    </div>
  );
}
