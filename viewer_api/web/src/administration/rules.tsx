// Rules: which studies are processed, how urgently, and which results go where. Each change shows what it would have done.

import { useEffect, useState } from "preact/hooks";
import { Notice } from "../components/notice";
import { useLoaded } from "../hooks";
import type { Rule, Rules } from "../types";
import { Confirmation, useProposal } from "./proposal";
import { NEW_RULE, RuleEditor } from "./ruleeditor";

interface RuleEdit {
  subject: "rule";
  action: "add" | "change" | "move" | "remove";
  name: string;
  rule?: Rule;
  position?: number;
}

interface RowProps {
  rule: Rule;
  words: string;
  position: number;
  last: number;
  edit: (rule: Rule) => void;
  propose: (edit: RuleEdit) => void;
}

function Row({ rule, words, position, last, edit, propose }: RowProps) {
  const { name } = rule;
  const move = (to: number) => propose({ subject: "rule", action: "move", name, position: to });
  return (
    <li class="rule flex flex-wrap items-baseline gap-x-3 border-t border-line py-2 text-sm">
      <span class="w-5 text-right text-faint">{position}</span>
      <span class="font-medium">{name}</span>
      <span class="min-w-60 flex-1 text-soft">{words}</span>
      <span class="whitespace-nowrap">
        <button
          type="button"
          class="toggle"
          aria-label={`Move ${name} up`}
          disabled={position === 1}
          onClick={() => move(position - 1)}
        >
          ↑
        </button>
        <button
          type="button"
          class="toggle"
          aria-label={`Move ${name} down`}
          disabled={position === last}
          onClick={() => move(position + 1)}
        >
          ↓
        </button>
        <button type="button" class="toggle" aria-label={`Edit rule ${name}`} onClick={() => edit(rule)}>
          Edit
        </button>
        <button
          type="button"
          class="toggle"
          aria-label={`Remove rule ${name}`}
          onClick={() => propose({ subject: "rule", action: "remove", name })}
        >
          Remove
        </button>
      </span>
    </li>
  );
}

export function RulesOfStudies({ round, changed }: { round: number; changed: () => void }) {
  const loaded = useLoaded<Rules>("/api/administration/rules");
  const [edited, setEdited] = useState<Rule | null>(null);
  const door = useProposal<RuleEdit>(() => {
    setEdited(null);
    changed();
  }, "/api/administration/rules");
  // An undone change may be one of rules, a changed peer one that rules may name.
  useEffect(() => {
    if (round > 0) loaded.reload();
  }, [round]);
  const found = loaded.value;
  if (!found) return loaded.problem ? <Notice kind="bad">{loaded.problem}</Notice> : null;
  const submit = (rule: Rule) =>
    door.propose({ subject: "rule", action: edited?.name ? "change" : "add", name: rule.name, rule });
  return (
    <section class="panel p-4">
      <div class="mb-1 flex items-center justify-between">
        <h2 class="font-semibold">Rules</h2>
        <button type="button" class="button" onClick={() => setEdited(NEW_RULE)}>
          Add a rule
        </button>
      </div>
      <p class="mb-3 text-sm text-soft">
        {found.rules.length === 0
          ? "No rules: every study is processed, and its results go to every peer that gets results."
          : "Read from the top: of whether, how urgently and whereto, the first rule that matches and says it decides."}
      </p>
      <ol>
        {found.rules.map(({ entries, words }, index) => (
          <Row
            key={entries.name}
            rule={entries}
            words={words}
            position={index + 1}
            last={found.rules.length}
            edit={setEdited}
            propose={door.propose}
          />
        ))}
      </ol>
      {edited && (
        <RuleEditor
          key={edited.name}
          rule={edited}
          choices={found}
          propose={submit}
          close={() => {
            setEdited(null);
            door.cancel();
          }}
        />
      )}
      <Confirmation door={door} />
    </section>
  );
}
