// One rule as a form: its conditions, and what it says of studies that fulfil them.

import { useState } from "preact/hooks";
import { Choice, TextField } from "../components/field";
import { Tick } from "../components/tick";
import type { Rule, Rules } from "../types";
import { EditorEnd } from "./proposal";

export const NEW_RULE: Rule = {
  name: "",
  sentence: "",
  modality: [],
  body_part: [],
  view: [],
  description: [],
  station_name: [],
  calling_ae_title: [],
  called_ae_title: [],
  requested_priority: [],
  minimum_age_years: null,
  maximum_age_years: null,
  process: null,
  priority: null,
  send: {},
};

type PatternEntry = { [Entry in keyof Rule]: Rule[Entry] extends string[] ? Entry : never }[keyof Rule];

const PATTERNS: { entry: PatternEntry; label: string; placeholder: string }[] = [
  { entry: "modality", label: "Modality", placeholder: "CR | DX" },
  { entry: "body_part", label: "Body part", placeholder: "HIP | KNEE" },
  { entry: "view", label: "View", placeholder: "AP | PA | LATERAL" },
  { entry: "description", label: "Description of study, series or protocol", placeholder: "*outside*" },
  { entry: "station_name", label: "Station name", placeholder: "ROOM?" },
  { entry: "calling_ae_title", label: "Sent by (AE title; WEB: uploads)", placeholder: "ER*" },
  { entry: "called_ae_title", label: "Sent to (AE title)", placeholder: "BONECRAFT" },
  { entry: "requested_priority", label: "Priority that the images ask for", placeholder: "STAT | HIGH" },
];

const EMPTY = "(empty)"; // in place of a pattern that only an absent value fulfils
const ALL = "all";
const OTHERS = "*";

function patternsOf(text: string): string[] {
  const patterns = text.split("|").map((each) => each.trim());
  return patterns.filter(Boolean).map((each) => (each === EMPTY ? "" : each));
}

function textOf(patterns: string[]): string {
  return patterns.map((each) => each || EMPTY).join(" | ");
}

function yearsOf(text: string): number | null {
  return text === "" ? null : Number(text);
}

interface SendProps {
  send: Rule["send"];
  choices: Rules;
  change: (send: Rule["send"]) => void;
}

function Sends({ send, choices, change }: SendProps) {
  const peers = [...new Set([...choices.peers, ...Object.keys(send).filter((peer) => peer !== OTHERS), OTHERS])];
  const without = (peer: string) => Object.fromEntries(Object.entries(send).filter(([other]) => other !== peer));
  const meant = (peer: string) => (send[peer] ?? []).flatMap((kind) => (kind === ALL ? choices.usual : [kind]));
  const tick = (peer: string, kind: string, wanted: boolean) => {
    const others = meant(peer).filter((each) => each !== kind);
    change({ ...send, [peer]: wanted ? [...others, kind] : others });
  };
  return (
    <fieldset class="space-y-1 sm:col-span-3">
      <legend class="mb-1 text-sm text-soft">Which results go where</legend>
      {peers.map((peer) => (
        <div key={peer} class="flex flex-wrap gap-x-5 text-sm">
          <div class="w-56">
            <Tick
              label={`${peer === OTHERS ? "every other peer" : peer} gets only`}
              value={peer in send}
              onValue={(said) => change(said ? { ...send, [peer]: [] } : without(peer))}
            />
          </div>
          {send[peer]?.length === 0 && <span class="text-faint">nothing, or</span>}
          {send[peer] &&
            choices.kinds.map((kind) => (
              <Tick
                key={kind}
                label={kind.replaceAll("-", " ")}
                value={meant(peer).includes(kind)}
                onValue={(wanted) => tick(peer, kind, wanted)}
              />
            ))}
        </div>
      ))}
    </fieldset>
  );
}

interface EditorProps {
  rule: Rule;
  choices: Rules;
  propose: (rule: Rule) => void;
  close: () => void;
}

export function RuleEditor({ rule, choices, propose, close }: EditorProps) {
  const [draft, setDraft] = useState(rule);
  const [texts, setTexts] = useState(() => new Map(PATTERNS.map(({ entry }) => [entry, textOf(rule[entry])])));
  const change = (said: Partial<Rule>) => setDraft({ ...draft, ...said });
  const submit = (event: Event) => {
    event.preventDefault();
    const patterns = [...texts].map(([entry, text]) => [entry, patternsOf(text)]);
    propose({ ...draft, ...Object.fromEntries(patterns) });
  };
  return (
    <form class="mt-3 grid gap-3 rounded-lg border border-line p-3 sm:grid-cols-3" onSubmit={submit}>
      {!rule.name && (
        <TextField
          label="Name of the rule"
          required
          placeholder="no-feet"
          value={draft.name}
          onValue={(name) => change({ name })}
        />
      )}
      <div class={rule.name ? "sm:col-span-3" : "sm:col-span-2"}>
        <TextField
          label="Why it is there, for those who see what it did"
          value={draft.sentence}
          onValue={(sentence) => change({ sentence })}
        />
      </div>
      <p class="text-sm sm:col-span-3">
        When an image fulfils all of these{" "}
        <span class="text-faint">
          (* and ? are wildcards, | separates alternatives, {EMPTY} is what an image does not say)
        </span>
      </p>
      {PATTERNS.map(({ entry, label, placeholder }) => (
        <TextField
          key={entry}
          label={label}
          placeholder={placeholder}
          value={texts.get(entry) ?? ""}
          onValue={(text) => setTexts(new Map(texts).set(entry, text))}
        />
      ))}
      <div class="grid grid-cols-2 gap-3">
        <TextField
          label="Age from"
          type="number"
          min="0"
          value={String(draft.minimum_age_years ?? "")}
          onValue={(text) => change({ minimum_age_years: yearsOf(text) })}
        />
        <TextField
          label="to (years)"
          type="number"
          min="0"
          value={String(draft.maximum_age_years ?? "")}
          onValue={(text) => change({ maximum_age_years: yearsOf(text) })}
        />
      </div>
      <p class="text-sm sm:col-span-3">
        then the study <span class="text-faint">(is left out only when all its images fulfil them)</span>
      </p>
      <Choice
        label="Reconstruction"
        value={String(draft.process ?? "")}
        onValue={(value) => change({ process: value === "" ? null : value === "true" })}
      >
        <option value="">this rule says nothing</option>
        <option value="true">process it</option>
        <option value="false">leave it out</option>
      </Choice>
      <Choice label="Priority" value={draft.priority ?? ""} onValue={(value) => change({ priority: value || null })}>
        <option value="">this rule says nothing</option>
        {choices.priorities.map((priority) => (
          <option key={priority} value={priority}>
            {priority}
          </option>
        ))}
      </Choice>
      <Sends send={draft.send} choices={choices} change={(send) => change({ send })} />
      <EditorEnd place="sm:col-span-3" close={close} />
    </form>
  );
}
