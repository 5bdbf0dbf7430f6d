import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { remove } from "../api";
import { useKeys } from "../hooks";
import { navigate } from "../router";
import { useMay, useSession } from "../session";
import type { Session } from "../types";
import { Help } from "./help";
import { Mark } from "./mark";

function Place({ to, path, children }: { to: string; path: string; children: ComponentChildren }) {
  const here = path === to || (to === "/studies" && (path === "/" || path.startsWith("/studies/")));
  const look = here ? "bg-raised text-ink" : "text-soft hover:text-ink";
  return (
    <a href={to} aria-current={here ? "page" : undefined} class={`rounded-md px-3 py-1.5 text-sm ${look}`}>
      {children}
    </a>
  );
}

function Places({ path }: { path: string }) {
  const mayUpload = useMay("upload");
  const mayAdminister = useMay("administer");
  return (
    <nav aria-label="Main" class="flex flex-wrap gap-1">
      <Place to="/studies" path={path}>
        Studies
      </Place>
      {mayUpload && (
        <Place to="/upload" path={path}>
          Upload
        </Place>
      )}
      {mayAdminister && (
        <Place to="/administration" path={path}>
          Administration
        </Place>
      )}
      <Place to="/about" path={path}>
        About
      </Place>
    </nav>
  );
}

export function Shell({ path, children }: { path: string; children: ComponentChildren }) {
  const { session, enter } = useSession();
  const [help, setHelp] = useState(false);
  const mayUpload = useMay("upload");
  useKeys({
    "?": () => setHelp((shown) => !shown),
    Escape: () => setHelp(false),
    l: () => navigate("/studies"),
    ...(mayUpload ? { u: () => navigate("/upload") } : {}),
  });
  const leave = async () => {
    await remove("/api/session");
    enter((await (await fetch("/api/session")).json()) as Session);
    navigate("/login");
  };
  return (
    <div class="flex min-h-screen flex-col">
      <a href="#main" class="sr-only focus:not-sr-only focus:p-2">
        Skip to the content
      </a>
      <header class="flex flex-wrap items-center gap-x-6 gap-y-2 border-b border-line bg-panel px-5 py-2">
        <a href="/studies" class="flex items-center gap-2.5 font-semibold tracking-wide text-bone">
          <Mark /> Bonecraft
        </a>
        <Places path={path} />
        <div class="ml-auto flex items-center gap-4 text-sm">
          <span class="text-right leading-tight">
            <span class="block text-ink">{session.user?.institution}</span>
            <span class="block text-xs text-faint">
              {session.user?.email} · {session.user?.role}
            </span>
          </span>
          <button type="button" class="toggle" onClick={() => setHelp(true)} aria-label="Keyboard shortcuts">
            <span class="key">?</span>
          </button>
          <button type="button" class="button" onClick={leave}>
            Log out
          </button>
        </div>
      </header>
      <main id="main" class="w-full flex-1 px-5 py-5">
        {children}
      </main>
      <footer class="border-t border-line px-5 py-2.5 text-xs text-faint">
        {session.disclaimer} <span class="float-right">Bonecraft {session.version}</span>
      </footer>
      {help && <Help close={() => setHelp(false)} />}
    </div>
  );
}
