import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Badge, ProgressBar } from "../components/badge";
import { Notice } from "../components/notice";
import { useEvery, useKeys, useTitle } from "../hooks";
import { navigate } from "../router";
import { useMay } from "../session";
import type { StudyPage, StudySummary } from "../types";
import { dayOf, isOnItsWay, momentOf, personOf, waitOf } from "../words";

const REFRESH_MS = 2000;

// The text that is searched for may be a patient's name: it travels in a request's body, never in an address.
function useStudies(text: string, page: number) {
  const [found, setFound] = useState<StudyPage>();
  const [problem, setProblem] = useState("");
  const load = () =>
    post<StudyPage>("/api/studies/search", { text, page }).then(
      (answer) => {
        setFound(answer);
        setProblem("");
      },
      (error) => setProblem(messageOf(error)),
    );
  // `load` is made of these.
  useEffect(() => {
    const typing = setTimeout(load, 150);
    return () => clearTimeout(typing);
  }, [text, page]);
  useEvery(REFRESH_MS, () => {
    if (!document.hidden) load();
  });
  return { found, problem };
}

function State({ study }: { study: StudySummary }) {
  const sentence = study.state === "refused" || study.state === "failed" ? study.problem : waitOf(study);
  return (
    <div class="space-y-1.5">
      <Badge state={study.state} />
      {study.state === "running" && <ProgressBar fraction={study.fraction} sentence={study.sentence} />}
      {sentence && <p class="max-w-[42ch] text-xs text-soft">{sentence}</p>}
    </div>
  );
}

function Row({ study, chosen }: { study: StudySummary; chosen: boolean }) {
  const row = useRef<HTMLTableRowElement>(null);
  const address = `/studies/${study.id}`;
  useEffect(() => {
    if (chosen) row.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <tr
      ref={row}
      aria-selected={chosen}
      class={`border-t border-line align-top hover:bg-raised ${chosen ? "bg-raised shadow-[inset_3px_0_0_var(--color-bone)]" : ""}`}
    >
      <td class="px-4 py-3">
        <a class="block font-medium hover:text-bone" href={address}>
          {personOf(study.patient_name) || "Name not given"}
        </a>
        <span class="text-xs text-faint">{study.patient_id}</span>
      </td>
      <td class="px-4 py-3">
        <a class="hover:text-bone" href={address} tabIndex={-1}>
          {study.study_description || "No description"}
        </a>
        {study.accession_number && <span class="block text-xs text-faint">Acc. {study.accession_number}</span>}
      </td>
      <td class="px-4 py-3 whitespace-nowrap text-soft">{dayOf(study.study_date)}</td>
      <td class="px-4 py-3 text-soft">{study.radiographs}</td>
      <td class="px-4 py-3">
        <State study={study} />
      </td>
      <td class="px-4 py-3 text-right text-xs whitespace-nowrap text-faint">{momentOf(study.last_received_at)}</td>
    </tr>
  );
}

function Nothing({ searching }: { searching: boolean }) {
  const mayUpload = useMay("upload");
  return (
    <div class="border-t border-line px-4 py-16 text-center text-soft">
      {searching ? (
        <p>No study matches. Name, patient ID, accession number and description are searched.</p>
      ) : (
        <>
          <p>No studies yet. They appear here as soon as a modality sends one.</p>
          {mayUpload && (
            <a class="button mt-4" href="/upload">
              Upload radiographs
            </a>
          )}
        </>
      )}
    </div>
  );
}

export function StudiesView() {
  useTitle("Studies");
  const [text, setText] = useState("");
  const [page, setPage] = useState(1);
  const [chosen, setChosen] = useState(-1);
  const search = useRef<HTMLInputElement>(null);
  const { found, problem } = useStudies(text, page);
  const studies = found?.studies ?? [];
  const open = () => {
    const study = studies[chosen];
    if (study) navigate(`/studies/${study.id}`);
  };
  useKeys({
    "/": () => search.current?.focus(),
    j: () => setChosen((n) => Math.min(studies.length - 1, n + 1)),
    k: () => setChosen((n) => Math.max(0, n - 1)),
    ...(studies[chosen] && !(document.activeElement instanceof HTMLAnchorElement) ? { Enter: open } : {}),
  });
  const onTheirWay = studies.filter((study) => isOnItsWay(study.state)).length;
  return (
    <div class="mx-auto max-w-6xl">
      <div class="mb-4 flex flex-wrap items-center gap-4">
        <h1 class="text-xl font-semibold">Studies</h1>
        <span class="text-sm text-faint" aria-live="polite">
          {found &&
            `${found.total} ${found.total === 1 ? "study" : "studies"}${onTheirWay ? `, ${onTheirWay} on the way` : ""}`}
        </span>
        <input
          ref={search}
          type="search"
          class="field ml-auto max-w-xs"
          placeholder="Search   /"
          aria-label="Search studies"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setPage(1);
            setChosen(-1);
          }}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
      </div>
      {problem && (
        <div class="mb-4">
          <Notice kind="bad">{problem}</Notice>
        </div>
      )}
      <div class="panel overflow-x-auto">
        <table class="w-full">
          <thead>
            <tr>
              <th class="px-4 py-2.5">Patient</th>
              <th class="px-4 py-2.5">Study</th>
              <th class="px-4 py-2.5">Date</th>
              <th class="px-4 py-2.5">Radiographs</th>
              <th class="px-4 py-2.5">State</th>
              <th class="px-4 py-2.5 text-right">Last received</th>
            </tr>
          </thead>
          <tbody>
            {studies.map((study, index) => (
              <Row key={study.id} study={study} chosen={index === chosen} />
            ))}
          </tbody>
        </table>
        {found && studies.length === 0 && <Nothing searching={text !== ""} />}
      </div>
      {found && found.pages > 1 && (
        <nav aria-label="Pages" class="mt-4 flex items-center justify-center gap-3 text-sm">
          <button type="button" class="button" disabled={page <= 1} onClick={() => setPage(page - 1)}>
            Newer
          </button>
          <span class="text-soft">
            Page {found.page} of {found.pages}
          </span>
          <button type="button" class="button" disabled={page >= found.pages} onClick={() => setPage(page + 1)}>
            Older
          </button>
        </nav>
      )}
    </div>
  );
}
