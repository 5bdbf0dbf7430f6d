// Provenance: stages with their times, models with their licences, deliveries, and earlier results of the study.

import type { ComponentChildren } from "preact";
import type { Delivery, Result, Study } from "../types";
import { History } from "./history";

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section>
      <h2 class="mb-2 text-sm font-semibold">{title}</h2>
      {children}
    </section>
  );
}

function Stages({ result }: { result: Result }) {
  const total = result.report.stages.reduce((sum, stage) => sum + stage.seconds, 0);
  return (
    <table class="w-full text-sm">
      <tbody>
        {result.report.stages.map((stage) => (
          <tr key={stage.name} class="border-t border-line align-top">
            <td class="w-28 py-1.5 pr-4">{stage.name}</td>
            <td class="w-24 py-1.5 pr-4 text-right whitespace-nowrap text-soft">{stage.seconds.toFixed(2)} s</td>
            <td class="py-1.5 text-soft">{stage.summary}</td>
          </tr>
        ))}
        <tr class="border-t border-line">
          <td class="py-1.5 pr-4 text-faint">in all</td>
          <td class="py-1.5 pr-4 text-right text-faint">{total.toFixed(2)} s</td>
          <td />
        </tr>
      </tbody>
    </table>
  );
}

const DELIVERY_WORDS: Record<Delivery["state"], { word: string; look: string }> = {
  pending: { word: "waiting", look: "text-busy" },
  sent: { word: "stored, not committed yet", look: "text-busy" },
  delivered: { word: "delivered", look: "text-good" },
  "not-accepted": { word: "not taken there", look: "text-bad" },
  dead: { word: "given up", look: "text-bad" },
  withdrawn: { word: "not sent, a newer result took its place", look: "text-faint" },
  "left-out": { word: "not sent", look: "text-faint" },
};

function Deliveries({ deliveries }: { deliveries: Delivery[] }) {
  if (deliveries.length === 0) return <p class="text-sm text-soft">No peer receives results from this institution.</p>;
  return (
    <ul class="space-y-1 text-sm">
      {deliveries.map((delivery) => (
        <li key={`${delivery.peer} ${delivery.title}`}>
          <span class={DELIVERY_WORDS[delivery.state].look}>{DELIVERY_WORDS[delivery.state].word}</span>{" "}
          <span class="text-soft">
            {delivery.title} to {delivery.peer}
          </span>
          {delivery.problem && <span class="block text-xs text-faint">{delivery.problem}</span>}
          {delivery.note && <span class="block text-xs text-faint">{delivery.note}</span>}
        </li>
      ))}
    </ul>
  );
}

interface HowItWasMadeProps {
  study: Study;
  result: Result;
  open: (result: string) => void;
}

export function HowItWasMade({ study, result, open }: HowItWasMadeProps) {
  const { report } = result;
  return (
    <div class="grid gap-8 lg:grid-cols-[3fr_2fr]">
      <Section title="Stages">
        <Stages result={result} />
      </Section>
      <div class="space-y-6">
        <Section title="Scale">
          <p class="text-sm text-soft">
            {report.scale.known
              ? `${report.scale.provenance}; one standard deviation ${(report.scale.relative_uncertainty * 100).toFixed(1)} %.`
              : "None: no lengths in mm are claimed."}
          </p>
        </Section>
        <Section title="Models and licences">
          <ul class="space-y-1 text-sm">
            {report.models.map((model) => (
              <li key={model.name}>
                {model.name} {model.version} <span class="text-soft">· {model.licence}</span>{" "}
                <code class="text-xs text-faint">{model.sha256.slice(0, 12)}</code>
              </li>
            ))}
          </ul>
          <p class="mt-1 text-xs text-faint">Bonecraft {report.software_version}</p>
        </Section>
        <Section title="Delivered to">
          <Deliveries deliveries={study.deliveries} />
        </Section>
        <Section title="Results of this study">
          <History history={study.history} shown={result} open={open} />
        </Section>
      </div>
    </div>
  );
}
