// How far the result can be trusted, at a glance: the figures first, what to be careful about next.

import type { ComponentChildren } from "preact";
import type { Report, Scale, SurfaceReport } from "../types";
import { boneOf, colourOf, viewOf } from "../words";

function Figure({ caption, children, detail }: { caption: string; children: ComponentChildren; detail: string }) {
  return (
    <div class="min-w-32 flex-1 px-4 py-2.5">
      <p class="caption">{caption}</p>
      <p class="text-lg leading-snug font-semibold">{children}</p>
      <p class="text-xs text-soft">{detail}</p>
    </div>
  );
}

function contourErrors(report: Report, bone?: string): string {
  const contours = report.radiographs.flatMap((each) => each.contours);
  const errors = contours.filter((each) => !bone || each.bone === bone).map((each) => each.error_mm);
  const known = errors.filter((each) => each !== null);
  if (known.length === 0) return "not measured";
  return `${(known.reduce((sum, each) => sum + each, 0) / known.length).toFixed(1)} mm`;
}

function expectedError(surface: SurfaceReport, scale: Scale): string {
  return `${surface.expected_error.toFixed(1)}${scale.known ? " mm" : ""}`;
}

function inferred(surface: SurfaceReport): string {
  return `${Math.round(surface.inferred_fraction * 100)} %`;
}

function Lone({ surface, report }: { surface: SurfaceReport; report: Report }) {
  const { scale } = report;
  return (
    <>
      <Figure caption="Expected mean error" detail={scale.known ? "of what the views show" : "in assumed units"}>
        {expectedError(surface, scale)}
      </Figure>
      <Figure caption="Contour error" detail="outline against the films">
        {contourErrors(report)}
      </Figure>
      <Figure caption="Inferred" detail="of the surface, seen in no view">
        {inferred(surface)}
      </Figure>
    </>
  );
}

export interface Choice {
  hidden: ReadonlySet<string>;
  toggle: (bone: string) => void;
}

// Every bone with its own figures; the switch shows and hides it on the films and in space.
function Several({ report, hidden, toggle }: { report: Report } & Choice) {
  return (
    <table class="w-full border-t border-line text-sm">
      <thead>
        <tr>
          <th class="px-4 pt-2 pb-1">Bone</th>
          <th class="pt-2 pr-6 pb-1 text-right!">Expected mean error</th>
          <th class="pt-2 pr-6 pb-1 text-right!">Contour error</th>
          <th class="pt-2 pr-4 pb-1 text-right!">Inferred, seen in no view</th>
        </tr>
      </thead>
      <tbody>
        {report.surfaces.map((surface) => (
          <tr key={surface.name} class={`border-t border-line ${hidden.has(surface.name) ? "text-faint" : ""}`}>
            <td class="px-2.5 py-0.5">
              <button
                type="button"
                class="toggle inline-flex items-center gap-2"
                aria-pressed={!hidden.has(surface.name)}
                onClick={() => toggle(surface.name)}
              >
                <span class="size-3 rounded-sm" style={{ background: colourOf(surface) }} />
                {boneOf(surface)}
              </button>
            </td>
            <td class="pr-6 text-right">{expectedError(surface, report.scale)}</td>
            <td class="pr-6 text-right">{contourErrors(report, surface.name)}</td>
            <td class="pr-4 text-right">{inferred(surface)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function TrustBox({ report, ...choice }: { report: Report } & Choice) {
  const { scale, surfaces } = report;
  const lone = surfaces.length === 1 ? surfaces[0] : undefined;
  return (
    <section aria-label="How far to trust this" class="panel overflow-hidden">
      <div class="flex flex-wrap divide-x divide-line">
        {lone && <Lone surface={lone} report={report} />}
        <Figure caption="Scale" detail={scale.known ? scale.provenance : "nothing says how large a pixel is"}>
          {scale.known ? (
            `± ${(scale.relative_uncertainty * 100).toFixed(1)} %`
          ) : (
            <span class="text-warn">unknown</span>
          )}
        </Figure>
        <Figure caption="Views used" detail={report.radiographs.length > 1 ? "two directions" : "one direction only"}>
          {report.radiographs.map((each) => viewOf(each.view)).join(" + ")}
        </Figure>
      </div>
      {!lone && <Several report={report} {...choice} />}
      {report.warnings.length > 0 && (
        <ul class="border-t border-line bg-warn/8 px-4 py-2 text-sm text-warn">
          {report.warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
      <p class="border-t border-line px-4 py-1.5 text-xs text-faint">
        {report.disclaimer} Models:{" "}
        {report.models.map((m) => `${m.name} ${m.version} (${m.licence})`).join(", ") || "none"}.
      </p>
    </section>
  );
}
