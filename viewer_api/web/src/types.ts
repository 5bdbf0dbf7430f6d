// What the server answers, as `viewer_api` and `pipeline.results` write it. Lengths are mm, pixels are (column, row).

export type Role = "admin" | "radiologist" | "technologist" | "specialist";
export type Permission = "see-institution-studies" | "see-own-studies" | "upload" | "administer" | "manage-users";
export type StudyState =
  | "receiving"
  | "queued"
  | "running"
  | "reconstructed"
  | "refused"
  | "failed"
  | "out-of-scope"
  | "left-out";

export interface Session {
  user: { email: string; role: Role; institution: string } | null;
  csrf_token: string;
  permissions: Permission[];
  disclaimer: string;
  shape_only: string;
  version: string;
}

export interface Progress {
  state: StudyState;
  stage: string;
  fraction: number;
  sentence: string;
  problem: string;
  waits_for: string; // while it is receiving
  wait_until: string | null;
  priority: "stat" | "high" | "routine" | "low";
}

export interface StudySummary extends Progress {
  id: string;
  patient_name: string;
  patient_id: string;
  accession_number: string;
  study_date: string;
  study_description: string;
  last_received_at: string;
  radiographs: number;
}

export interface StudyPage {
  studies: StudySummary[];
  page: number;
  pages: number;
  total: number;
}

export interface SourceRadiograph {
  id: string;
  identifier: string;
  modality: string;
  body_part: string;
  view: string;
  side: string;
  picture: string;
}

export interface ResultFile {
  path: string;
  kind: string;
  media_type: string;
  title: string;
  size: number;
  radiograph: string | null;
  url: string;
}

export interface Scale {
  known: boolean;
  relative_uncertainty: number;
  provenance: string;
}

export type Point = [number, number];

export interface BoneContour {
  bone: string; // the name of its SurfaceReport
  polygons: Point[][];
  error_mm: number | null;
}

export interface RadiographReport {
  identifier: string;
  view: string;
  side: string; // L, R, B (both) or U (neither), as in ImageLaterality
  picture: string;
  contours: BoneContour[];
  rows: number;
  columns: number;
  mm_per_pixel: number | null;
}

export interface SurfaceReport {
  name: string;
  bone: string;
  side: string | null;
  vertices: number;
  triangles: number;
  watertight: boolean;
  extent: [number, number, number];
  expected_error: number;
  inferred_fraction: number;
  colour: string; // empty in results of the first version
}

export interface Measurement {
  name: string;
  bone: string;
  unit: string;
  value: number | null;
  lower: number | null;
  upper: number | null;
  reason: string;
}

export interface Report {
  status: "reconstructed" | "refused";
  software_version: string;
  scale: Scale;
  stages: { name: string; seconds: number; summary: string; picture: string | null }[];
  radiographs: RadiographReport[];
  surfaces: SurfaceReport[];
  measurements: Measurement[];
  warnings: string[];
  models: ModelVersion[];
  refusal: { code: string; sentence: string; advice: string } | null; // the last: what can be done
  disclaimer: string;
}

export interface ModelVersion {
  name: string;
  version: string;
  licence: string;
  sha256: string;
}

export interface Result {
  id: string;
  created_at: string;
  report: Report;
  files: ResultFile[];
}

export interface Delivery {
  title: string;
  peer: string;
  state: "pending" | "sent" | "delivered" | "not-accepted" | "dead" | "withdrawn" | "left-out";
  problem: string;
  note: string;
}

export interface HistoryEntry {
  id: string;
  created_at: string;
  status: "reconstructed" | "refused";
  radiographs: number;
  replaced_by: string | null;
  replaced_at: string | null;
  reason: string;
}

export interface Study {
  study: StudySummary;
  radiographs: SourceRadiograph[];
  result: Result | null;
  history: HistoryEntry[]; // the newest first
  deliveries: Delivery[];
  removed: { images_at: string | null; results_at: string | null };
  earlier: { id: string; study_date: string }[];
}

export interface PictureFacts {
  rows: number;
  columns: number;
  modality: string;
  view: string;
  side: string;
  body_part: string;
  scale: string;
  notes: string[];
  picture: string;
}

export interface Peer {
  id: string;
  institution_id?: string;
  ae_title: string;
  host: string;
  port: number;
  allow_from: string[];
  sends: boolean;
  receives: boolean;
  tls: boolean;
  requires_certificate: boolean;
  certificates: string[];
  maximum_associations: number;
  commitment: "auto" | "never";
  asked_for: "nothing" | "missing-views" | "priors";
  silence_alarm: boolean;
  dicomweb_url: string;
  dicomweb_user: string;
  dicomweb_password_file: string;
  dicomweb_token_file: string;
  dicomweb_ca_file: string;
}

export interface Change {
  id: number;
  subject: string;
  lines: string[];
  who: string;
  source: string;
  changed_at: string;
  undoable: boolean;
}

export interface PartWait {
  body_part: string;
  quiet_seconds: number | null; // as for other body parts
  maximum_wait_seconds: number | null;
  by_content: boolean;
}

export interface Source {
  name: string;
  value: { url: string; user_name: string; password_file: string; ca_file: string; history: boolean };
  taken: number; // images
  problem: string;
}

export interface Token {
  program: string;
  value: { may_read: boolean; may_store: boolean; revoked: boolean };
  made_at: string;
  used_at: string | null;
}

export interface Administration {
  institution: string;
  called_ae_titles: string[];
  quiet_seconds: number;
  maximum_wait_seconds: number;
  waits: PartWait[];
  answers_refusals: boolean;
  peers: Peer[];
  sources: Source[];
  tokens: Token[];
  changes: Change[];
}

export interface Rule {
  name: string;
  sentence: string;
  modality: string[];
  body_part: string[];
  view: string[];
  description: string[];
  station_name: string[];
  calling_ae_title: string[];
  called_ae_title: string[];
  requested_priority: string[];
  minimum_age_years: number | null;
  maximum_age_years: number | null;
  process: boolean | null;
  priority: string | null;
  send: Record<string, string[]>; // kinds of results by AE title; * is every other peer
}

export interface Rules {
  rules: { entries: Rule; words: string }[];
  peers: string[];
  kinds: string[];
  usual: string[]; // what "all" stands for
  priorities: string[];
}

export interface Retention {
  entry: string;
  days: number; // 0: for ever
  going: number;
  going_bytes: number;
  held_back: string[];
}

export interface Quarantined {
  id: string;
  received_at: string;
  last_received_at: string;
  times: number;
  sender: string;
  problem: string;
  reason: string;
  size: number;
}

export interface Upkeep {
  silent: string[];
  retention: Retention[];
  quarantine: Quarantined[];
}

export interface Check {
  finished: boolean;
  ok: boolean | null;
  sentence: string;
}

export interface Person {
  id: string;
  email: string;
  role: Role;
  verified: boolean;
  disabled: boolean;
  you: boolean;
}

export interface About {
  version: string;
  licence: string;
  disclaimer: string;
  models: (ModelVersion & { training_data: string })[];
}
