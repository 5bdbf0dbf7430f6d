import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { get, messageOf, rememberCsrfToken, SESSION_ENDED } from "./api";
import { Notice } from "./components/notice";
import { Shell } from "./components/shell";
import { usePath } from "./router";
import { SessionContext } from "./session";
import type { Session } from "./types";
import { AboutView } from "./views/about";
import { AdministrationView } from "./views/administration";
import { LoginView } from "./views/login";
import { NotFoundView } from "./views/notfound";
import { OnceView } from "./views/once";
import { RegisterView } from "./views/register";
import { StudiesView } from "./views/studies";
import { StudyView } from "./views/study";
import { UploadView } from "./views/upload";

export function App() {
  const path = usePath();
  const [session, setSession] = useState<Session>();
  const [problem, setProblem] = useState("");
  const enter = useCallback((entered: Session) => {
    rememberCsrfToken(entered.csrf_token);
    setSession(entered);
  }, []);
  useEffect(() => {
    const ask = () => get<Session>("/api/session").then(enter, (error) => setProblem(messageOf(error)));
    ask();
    addEventListener(SESSION_ENDED, ask);
    return () => removeEventListener(SESSION_ENDED, ask);
  }, [enter]);

  if (problem) return <Notice kind="bad">{problem}</Notice>;
  if (!session) return null;
  return (
    <SessionContext.Provider value={{ session, enter }}>
      {session.user ? <Shell path={path}>{insideView(path)}</Shell> : outsideView(path)}
    </SessionContext.Provider>
  );
}

function outsideView(path: string): ComponentChildren {
  if (path === "/register") return <RegisterView />;
  if (path === "/login/once") return <OnceView />;
  return <LoginView />;
}

function insideView(path: string): ComponentChildren {
  const study = /^\/studies\/([0-9a-f-]{36})$/.exec(path)?.[1];
  if (study) return <StudyView key={study} id={study} />;
  switch (path) {
    case "/":
    case "/login":
    case "/studies":
      return <StudiesView />;
    case "/login/once":
      return <OnceView />;
    case "/upload":
      return <UploadView />;
    case "/administration":
      return <AdministrationView />;
    case "/about":
      return <AboutView />;
    default:
      return <NotFoundView />;
  }
}
