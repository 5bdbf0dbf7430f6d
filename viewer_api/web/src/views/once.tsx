// A one-time login: the token stands after the #, which no server and no log ever sees.

import { useEffect, useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Door } from "../components/door";
import { Notice } from "../components/notice";
import { useTitle } from "../hooks";
import { navigate } from "../router";
import { useSession } from "../session";
import type { Session } from "../types";

export function OnceView() {
  useTitle("Log in");
  const { enter } = useSession();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const token = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    post<Session>("/api/session/once", { token }).then(
      (session) => {
        enter(session);
        navigate("/studies", true);
      },
      (error) => setProblem(messageOf(error)),
    );
  }, [enter]);
  return (
    <Door title="One-time login">
      {problem ? (
        <div class="space-y-4">
          <Notice kind="bad">{problem}</Notice>
          <a class="link text-sm" href="/login">
            Log in with a password
          </a>
        </div>
      ) : (
        <p class="text-sm text-soft">Opening your session…</p>
      )}
    </Door>
  );
}
