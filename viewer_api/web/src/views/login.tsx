import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Door } from "../components/door";
import { TextField } from "../components/field";
import { Notice } from "../components/notice";
import { useTitle } from "../hooks";
import { navigate } from "../router";
import { useSession } from "../session";
import type { Session } from "../types";

export function LoginView() {
  useTitle("Log in");
  const { enter } = useSession();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      enter(await post<Session>("/api/session", { email, password }));
      if (location.pathname === "/login" || location.pathname === "/register") navigate("/studies", true);
    } catch (error) {
      setProblem(messageOf(error));
      setPassword("");
      setBusy(false);
    }
  };
  return (
    <Door title="Log in">
      <form class="space-y-4" onSubmit={submit}>
        <TextField label="E-mail" type="email" autocomplete="username" required value={email} onValue={setEmail} />
        <TextField
          label="Password"
          type="password"
          autocomplete="current-password"
          required
          value={password}
          onValue={setPassword}
        />
        {problem && <Notice kind="bad">{problem}</Notice>}
        <button type="submit" class="button button-main w-full" disabled={busy}>
          {busy ? "Checking…" : "Log in"}
        </button>
      </form>
      <p class="mt-5 text-sm text-soft">
        A specialist without an account?{" "}
        <a class="link" href="/register">
          Register
        </a>
      </p>
    </Door>
  );
}
