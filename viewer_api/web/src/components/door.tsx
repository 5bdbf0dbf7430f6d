// The frame of the views that one sees before logging in.

import type { ComponentChildren } from "preact";
import { useSession } from "../session";
import { Mark } from "./mark";

export function Door({ title, children }: { title: string; children: ComponentChildren }) {
  const { session } = useSession();
  return (
    <div class="flex min-h-screen flex-col items-center justify-center px-4 py-10">
      <div class="mb-7 flex items-center gap-3 text-2xl font-semibold tracking-wide text-bone">
        <Mark size={38} /> Bonecraft
      </div>
      <main class="panel w-[25rem] max-w-full p-7">
        <h1 class="mb-5 text-lg font-semibold">{title}</h1>
        {children}
      </main>
      <p class="mt-7 text-xs text-faint">{session.disclaimer}</p>
    </div>
  );
}
