import { useMemo, useState } from "preact/hooks";
import { get, messageOf } from "../api";
import { Bone } from "../bone/bone";
import { Badge, ProgressBar } from "../components/badge";
import { Downloads } from "../components/downloads";
import { Gallery } from "../components/gallery";
import { ReplacedBanner } from "../components/history";
import { HowItWasMade } from "../components/howitwasmade";
import { LeftOut } from "../components/leftout";
import { Measurements } from "../components/measurements";
import { Notice } from "../components/notice";
import { type Contour, Radiograph } from "../components/radiograph";
import { TrustBox } from "../components/trust";
import { useKeys, useLoaded, useTitle } from "../hooks";
import { commonSide } from "../maths/anatomy";
import { useProgress } from "../progress";
import { useSession } from "../session";
import type { Progress, RadiographReport, Report, Result, ResultFile, Study } from "../types";
import { boneOf, colourOf, dayOf, isOnItsWay, momentOf, personOf, sideOf, viewOf, waitOf } from "../words";
import { NotFoundView } from "./notfound";

const PARTS = ["Measurements", "Pictures", "Downloads", "How it was made"] as const;
type Part = (typeof PARTS)[number];

function Heading({ study, progress }: { study: Study; progress: Progress }) {
  const { patient_name, patient_id, study_description, study_date, accession_number } = study.study;
  return (
    <div class="mb-4 flex flex-wrap items-baseline gap-x-5 gap-y-1">
      <h1 class="text-xl font-semibold">{personOf(patient_name) || "Name not given"}</h1>
      <span class="text-sm text-soft">{patient_id}</span>
      <span class="text-sm text-soft">{[study_description, dayOf(study_date)].filter(Boolean).join(" · ")}</span>
      {accession_number && <span class="text-sm text-faint">Acc. {accession_number}</span>}
      {study.earlier.map((each) => (
        <a key={each.id} class="link text-sm" href={`/studies/${each.id}`}>
          Earlier study: {dayOf(each.study_date)}
        </a>
      ))}
      <span class="ml-auto flex gap-3">
        {progress.priority !== "routine" && <span class="text-sm text-warn uppercase">{progress.priority}</span>}
        <Badge state={progress.state} />
      </span>
    </div>
  );
}

interface StateProps {
  id: string;
  progress: Progress;
  changed: () => void;
}

function StateOfThings({ id, progress, changed }: StateProps) {
  switch (progress.state) {
    case "left-out":
      return <LeftOut id={id} sentence={progress.problem} changed={changed} />;
    case "refused":
      return <Notice kind="warn">Not reconstructed. {progress.problem}</Notice>;
    case "failed":
      return <Notice kind="bad">{progress.problem || "The reconstruction failed. An administrator sees why."}</Notice>;
    case "out-of-scope":
      return <Notice kind="info">Nothing in this study is a plain radiograph. It is stored and left alone.</Notice>;
    case "receiving":
      return (
        <Notice kind="info">
          {waitOf(progress) || "Waits for further images."} The reconstruction starts by itself.
        </Notice>
      );
    case "queued":
    case "running":
      return (
        <div class="panel px-4 py-3">
          <ProgressBar fraction={progress.fraction} sentence={progress.sentence} />
        </div>
      );
    default:
      return null;
  }
}

// What can be looked at in space: the scenes of several bones, then the bones one by one, for a bone may lie in no scene.
// Low-poly ones only where nothing else is.
function modelsOf(files: ResultFile[]): ResultFile[] {
  const models = files.filter((file) => file.media_type === "model/gltf-binary");
  const found = ["scene", "mesh"].flatMap((kind) => models.filter((file) => file.kind === kind));
  return found.length > 0 ? found : models.slice(0, 1);
}

interface PicturesProps {
  study: Study;
  contourShown: boolean;
  hidden: ReadonlySet<string>;
  inverted: boolean;
  round: number;
}

// A lone bone's outline stands out from everything; of several, each has its bone's colour.
function contoursOf(report: Report, radiograph: RadiographReport, hidden: ReadonlySet<string>): Contour[] {
  const surfaces = new Map(report.surfaces.map((surface) => [surface.name, surface]));
  const lone = report.surfaces.length === 1;
  return radiograph.contours
    .filter(({ bone }) => !hidden.has(bone))
    .map(({ bone, polygons }) => {
      const surface = surfaces.get(bone);
      const colour = surface && !lone ? colourOf(surface) : "var(--color-contour)";
      return { name: bone, title: surface ? boneOf(surface) : bone, colour, polygons };
    });
}

function errorOf({ contours }: RadiographReport): string {
  const errors = contours.map(({ error_mm }) => error_mm).filter((error) => error !== null);
  if (errors.length === 0) return "Contour error not measured";
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return `Contour error ${mean.toFixed(1)} mm${contours.length > 1 ? `, mean of ${contours.length} bones` : ""}`;
}

function Pictures({ study, contourShown, hidden, inverted, round }: PicturesProps) {
  const { result, radiographs } = study;
  const common = { contourShown, inverted, round };
  const banner = result && result.report.status === "reconstructed" && !result.report.scale.known ? "SHAPE ONLY" : "";
  if (!result || result.report.radiographs.length === 0) {
    return radiographs.map((each) => (
      <Radiograph
        key={each.id}
        {...common}
        picture={each.picture}
        title={[viewOf(each.view), sideOf(each.side)].filter(Boolean).join(", ") || each.modality}
        note={[each.body_part, each.modality].filter(Boolean).join(" · ")}
        contours={[]}
        size={null}
        mmPerPixel={null}
        banner=""
      />
    ));
  }
  const urls = new Map(result.files.map((file) => [file.path, file.url]));
  return result.report.radiographs.map((each) => (
    <Radiograph
      key={each.identifier}
      {...common}
      picture={urls.get(each.picture) ?? ""}
      title={[viewOf(each.view), sideOf(each.side)].filter(Boolean).join(", ")}
      note={errorOf(each)}
      contours={contoursOf(result.report, each, hidden)}
      size={{ width: each.columns, height: each.rows }}
      mmPerPixel={each.mm_per_pixel}
      banner={banner}
    />
  ));
}

function Bones({ study, hidden, round }: { study: Study; hidden: ReadonlySet<string>; round: number }) {
  const result = study.result;
  const [chosen, setChosen] = useState(0);
  const surfaces = result?.report.surfaces ?? [];
  const colours = useMemo(() => new Map(surfaces.map((s) => [s.name, colourOf(s)])), [surfaces]);
  const models = result ? modelsOf(result.files) : [];
  const model = models[chosen] ?? models[0];
  if (!result || !model || !surfaces[0]) return null;
  const { scale } = result.report;
  const surface = model.kind === "scene" ? undefined : (surfaces[chosen] ?? surfaces[0]);
  const unit = scale.known ? "mm" : "assumed units";
  return (
    <div class="relative h-full min-h-0">
      <Bone
        key={model.url}
        model={model.url}
        colours={colours}
        hidden={hidden}
        side={surface ? commonSide([surface.side]) : commonSide(surfaces.map(({ side }) => side))}
        title={surface ? boneOf(surface) : "All bones"}
        expectedError={surface ? `Expected mean error ${surface.expected_error.toFixed(1)} ${unit}` : ""}
        scaleKnown={scale.known}
        banner={scale.known ? "" : "SHAPE ONLY"}
        round={round}
      />
      {models.length > 1 && (
        <div class="absolute top-2 right-2 flex gap-1">
          {models.map((each, number) => (
            <button
              key={each.url}
              type="button"
              class="toggle"
              aria-pressed={each === model}
              onClick={() => setChosen(number)}
            >
              {each.title.split(",")[0]}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function Parts({ study, open }: { study: Study; open: (result: string) => void }) {
  const { result } = study;
  const refused = result?.report.status === "refused";
  const [part, setPart] = useState<Part>(refused ? "How it was made" : "Measurements");
  if (!result) return null;
  const parts = PARTS.filter((each) => !refused || each !== "Measurements");
  return (
    <section class="panel mt-4">
      <div role="tablist" aria-label="Results" class="flex flex-wrap gap-1 border-b border-line px-2 pt-2">
        {parts.map((each) => (
          <button
            key={each}
            type="button"
            role="tab"
            aria-selected={part === each}
            class={`-mb-px border-b-2 px-3 py-2 text-sm ${part === each ? "border-bone text-ink" : "border-transparent text-soft hover:text-ink"}`}
            onClick={() => setPart(each)}
          >
            {each}
          </button>
        ))}
      </div>
      <div role="tabpanel" aria-label={part} class="p-4">
        {part === "Measurements" && <Measurements report={result.report} />}
        {part === "Pictures" && <Gallery result={result} />}
        {part === "Downloads" && <Downloads result={result} />}
        {part === "How it was made" && <HowItWasMade study={study} result={result} open={open} />}
      </div>
    </section>
  );
}

function without(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  return new Set([...names].filter((each) => each !== name));
}

// Gone for good, as their time was over; no error.
function Removed({ study: { radiographs, result, removed } }: { study: Study }) {
  const gone = [
    radiographs.length === 0 && removed.images_at && `The radiographs were removed on ${momentOf(removed.images_at)}`,
    !result && removed.results_at && `The result was removed on ${momentOf(removed.results_at)}`,
  ].filter(Boolean);
  if (gone.length === 0) return null;
  return (
    <div class="mb-3">
      <Notice kind="info">
        {gone.join(". ")}: it had been kept for as long as this institution keeps it.
        {result && " What is shown here are the result's own pictures."}
      </Notice>
    </div>
  );
}

interface WorkplaceProps {
  study: Study;
  progress: Progress;
  changed: () => void;
  open: (result: string) => void;
}

function Workplace({ study, progress, changed, open }: WorkplaceProps) {
  const { session } = useSession();
  const [contourShown, setContourShown] = useState(true);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [inverted, setInverted] = useState(false);
  const [round, setRound] = useState(0);
  useKeys({
    c: () => setContourShown((shown) => !shown),
    i: () => setInverted((now) => !now),
    0: () => setRound((n) => n + 1),
  });
  const toggle = (bone: string) => setHidden((now) => (now.has(bone) ? without(now, bone) : new Set([...now, bone])));
  const report = study.result?.report;
  const reconstructed = report?.status === "reconstructed";
  const frames = Math.max(1, (report?.radiographs.length || study.radiographs.length) + (reconstructed ? 1 : 0));
  return (
    <>
      <StateOfThings id={study.study.id} progress={progress} changed={changed} />
      {progress.state === "refused" && report?.refusal?.advice && (
        <p class="mt-2 text-sm text-soft">{report.refusal.advice}</p>
      )}
      <Removed study={study} />
      {reconstructed && !report.scale.known && (
        <div class="mb-3">
          <Notice kind="warn">
            <strong>{session.shape_only}</strong>
          </Notice>
        </div>
      )}
      {reconstructed && <TrustBox report={report} hidden={hidden} toggle={toggle} />}
      <div class="my-2 flex items-center gap-1">
        {reconstructed && (
          <button
            type="button"
            class="toggle"
            aria-pressed={contourShown}
            title="Key c"
            onClick={() => setContourShown(!contourShown)}
          >
            Contour
          </button>
        )}
        <button
          type="button"
          class="toggle"
          aria-pressed={inverted}
          title="Key i"
          onClick={() => setInverted(!inverted)}
        >
          Invert
        </button>
        <button type="button" class="toggle" title="Key 0" onClick={() => setRound(round + 1)}>
          Reset
        </button>
      </div>
      <div
        class="reading-room grid gap-1 overflow-hidden rounded-lg border border-line bg-line"
        style={{ "--frames": String(frames) }}
      >
        <Pictures study={study} contourShown={contourShown} hidden={hidden} inverted={inverted} round={round} />
        {reconstructed && <Bones study={study} hidden={hidden} round={round} />}
      </div>
      <Parts key={study.result?.id} study={study} open={open} />
    </>
  );
}

// An earlier result that somebody opened, in place of the newest until they go back.
function useEarlier(id: string) {
  const [earlier, setEarlier] = useState<Result>();
  const [problem, setProblem] = useState("");
  const open = (result: string) =>
    get<Result>(`/api/studies/${id}/results/${result}`).then(setEarlier, (error) => setProblem(messageOf(error)));
  const back = () => setEarlier(undefined);
  return { earlier, problem, open, back };
}

export function StudyView({ id }: { id: string }) {
  useTitle("Study");
  const loaded = useLoaded<Study>(`/api/studies/${id}`);
  const study = loaded.value;
  const live = useProgress(id, study !== undefined && isOnItsWay(study.study.state), loaded.reload);
  const { earlier, problem, open, back } = useEarlier(id);
  if (loaded.status === 404) return <NotFoundView />;
  if (!study) return loaded.problem ? <Notice kind="bad">{loaded.problem}</Notice> : null;
  const progress = live && isOnItsWay(study.study.state) ? live : study.study;
  return (
    <>
      <Heading study={study} progress={progress} />
      {problem && <Notice kind="bad">{problem}</Notice>}
      <ReplacedBanner entry={study.history.find((entry) => entry.id === earlier?.id)} back={back} />
      <Workplace
        study={earlier ? { ...study, result: earlier } : study}
        progress={progress}
        changed={loaded.reload}
        open={open}
      />
    </>
  );
}
