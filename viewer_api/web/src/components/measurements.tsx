// Measurements with their intervals; where the views do not support one, the reason instead of a figure.

import type { Measurement, Report } from "../types";
import { boneOf } from "../words";

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

// Under the bone with which each is listed; bones come in the order of the report.
function grouped(report: Report): { title: string; measurements: Measurement[] }[] {
  const titles = new Map(report.surfaces.map((surface) => [surface.name, boneOf(surface)]));
  const names = new Set([...titles.keys(), ...report.measurements.map(({ bone }) => bone)]);
  return [...names]
    .map((name) => ({
      title: titles.get(name) ?? name,
      measurements: report.measurements.filter(({ bone }) => bone === name),
    }))
    .filter(({ measurements }) => measurements.length > 0);
}

export function Measurements({ report }: { report: Report }) {
  const groups = grouped(report);
  if (groups.length === 0) return <p class="text-sm text-soft">No measurements were taken.</p>;
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
      {groups.map(({ title, measurements }) => (
        <tbody key={title}>
          <tr class="border-t border-line">
            <th colSpan={4} scope="rowgroup" class="pt-4 pb-1.5 font-semibold text-ink!">
              {title}
            </th>
          </tr>
          {measurements.map((each) => (
            <Row key={each.name} measurement={each} />
          ))}
        </tbody>
      ))}
    </table>
  );
}
