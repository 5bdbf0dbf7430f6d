import type { ComponentChildren } from "preact";

export type NoticeKind = "good" | "info" | "warn" | "bad";

const LOOKS: Record<NoticeKind, string> = {
  good: "border-good/40 bg-good/10 text-good",
  info: "border-busy/40 bg-busy/10 text-busy",
  warn: "border-warn/40 bg-warn/10 text-warn",
  bad: "border-bad/40 bg-bad/10 text-bad",
};

export function Notice({ kind, children }: { kind: NoticeKind; children: ComponentChildren }) {
  return (
    <p role={kind === "bad" ? "alert" : "status"} class={`rounded-lg border px-3.5 py-2.5 text-sm ${LOOKS[kind]}`}>
      {children}
    </p>
  );
}
