// How far the result can be trusted, at a glance: the figures first, what to be careful about next.

import type { ComponentChildren } from "preact";
import type { Report } from "../types";
import { viewOf } from "../words";

function Figure({ caption, children, detail }: { caption: string; children: ComponentChildren; detail: string }) {
  return (
    <div class="min-w-32 flex-1 px-4 py-2.5">
      <p class="caption">{caption}</p>
      <p class="text-lg leading-snug font-semibold">{children}</p>
      <p class="text-xs text-soft">{detail}</p>
    </div>
  );
}

function contourError(report: Report): string {
  const errors = report.radiographs.map((each) => each.contour_error_mm).filter((each) => each !== null);
  if (errors.length === 0) return "not measured";
  return `${(errors.reduce((sum, each) => sum + each, 0) / errors.length).toFixed(1)} mm`;
}

export function TrustBox({ report }: { report: Report }) {
  const surface = report.surfaces[0];
  const { scale } = report;
  return (
    <section aria-label="How far to trust this" class="panel overflow-hidden">
      <div class="flex flex-wrap divide-x divide-line">
        <Figure caption="Expected mean error" detail={scale.known ? "of what the views show" : "in assumed units"}>
          {surface ? `${surface.expected_error.toFixed(1)}${scale.known ? " mm" : ""}` : "–"}
        </Figure>
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
        <Figure caption="Contour error" detail="outline against the films">
          {contourError(report)}
        </Figure>
        <Figure caption="Inferred" detail="of the surface, seen in no view">
          {surface ? `${Math.round(surface.inferred_fraction * 100)} %` : "–"}
        </Figure>
      </div>
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
