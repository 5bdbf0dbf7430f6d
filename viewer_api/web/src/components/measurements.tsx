// Measurements with their intervals; where the views do not support one, the reason instead of a figure.

import type { Measurement, Report } from "../types";

const UNITS: Record<string, string> = { deg: "°", mm: " mm" };

function figure(value: number, unit: string): string {
  return `${value.toFixed(1)}${UNITS[unit] ?? ` ${unit}`}`;
}

function Row({ measurement }: { measurement: Measurement }) {
  const { name, unit, value, lower, upper, reason } = measurement;
  const known = value !== null;
  return (
    <tr class={`border-t border-line ${known ? "" : "text-faint"}`}>
      <td class="py-2 pr-6">{name}</td>
      <td class="py-2 pr-6 text-right font-medium whitespace-nowrap">{known ? figure(value, unit) : "–"}</td>
      <td class="py-2 pr-6 whitespace-nowrap text-soft">
        {known && lower !== null && upper !== null && `${figure(lower, unit)} to ${figure(upper, unit)}`}
      </td>
      <td class="py-2 text-sm">{reason}</td>
    </tr>
  );
}

export function Measurements({ report }: { report: Report }) {
  if (report.measurements.length === 0) return <p class="text-sm text-soft">No measurements were taken.</p>;
  return (
    <table class="w-full max-w-4xl text-sm">
      <thead>
        <tr>
          <th class="pb-2">Measurement</th>
          <th class="pr-6 pb-2 text-right!">Value</th>
          <th class="pb-2">90 % interval</th>
          <th class="pb-2" />
        </tr>
      </thead>
      <tbody>
        {report.measurements.map((each) => (
          <Row key={`${each.bone} ${each.name}`} measurement={each} />
        ))}
      </tbody>
    </table>
  );
}
