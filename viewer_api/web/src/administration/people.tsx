import { useEffect, useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Notice } from "../components/notice";
import { useLoaded } from "../hooks";
import type { Person } from "../types";

function stateOf(person: Person): { word: string; look: string } {
  if (person.disabled) return { word: "disabled", look: "text-bad" };
  return person.verified ? { word: "active", look: "text-good" } : { word: "waits for you", look: "text-warn" };
}

function Row({ person, act }: { person: Person; act: (what: string) => void }) {
  const { word, look } = stateOf(person);
  return (
    <tr class="border-t border-line">
      <td class="py-2 pr-4">{person.email}</td>
      <td class="py-2 pr-4 text-soft">{person.role}</td>
      <td class={`py-2 pr-4 ${look}`}>{word}</td>
      <td class="py-2 text-right">
        {!person.verified && (
          <button type="button" class="button" onClick={() => act("verify")}>
            Verify
          </button>
        )}
        {person.verified && !person.you && (
          <button type="button" class="toggle" onClick={() => act(person.disabled ? "enable" : "disable")}>
            {person.disabled ? "Enable" : "Disable"}
          </button>
        )}
      </td>
    </tr>
  );
}

export function People({ round, changed }: { round: number; changed: () => void }) {
  const people = useLoaded<Person[]>("/api/users");
  const [problem, setProblem] = useState("");
  // An undone change may be a person's.
  useEffect(() => {
    if (round > 0) people.reload();
  }, [round]);
  const act = (person: Person) => async (what: string) => {
    try {
      await post(`/api/users/${person.id}/${what}`);
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">People</h2>
      {(problem || people.problem) && <Notice kind="bad">{problem || people.problem}</Notice>}
      <table class="w-full text-sm">
        <tbody>
          {people.value?.map((person) => (
            <Row key={person.id} person={person} act={act(person)} />
          ))}
        </tbody>
      </table>
    </section>
  );
}
