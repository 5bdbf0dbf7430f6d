import { useState } from "preact/hooks";
import { messageOf, post } from "../api";
import { Door } from "../components/door";
import { Choice, TextField } from "../components/field";
import { Notice } from "../components/notice";
import { useLoaded, useTitle } from "../hooks";

interface Institution {
  slug: string;
  name: string;
}

export function RegisterView() {
  useTitle("Register");
  const institutions = useLoaded<Institution[]>("/api/institutions");
  const [institution, setInstitution] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [sent, setSent] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await post("/api/registrations", { institution, email, password });
      setSent(true);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  if (sent) {
    return (
      <Door title="Registered">
        <div class="space-y-4">
          <Notice kind="good">
            An administrator of the institution verifies your registration. Then you can log in.
          </Notice>
          <a class="link text-sm" href="/login">
            To the login
          </a>
        </div>
      </Door>
    );
  }
  return (
    <Door title="Register as a specialist">
      <form class="space-y-4" onSubmit={submit}>
        <Choice label="Institution" required value={institution} onValue={setInstitution}>
          <option value="">Choose…</option>
          {institutions.value?.map(({ slug, name }) => (
            <option key={slug} value={slug}>
              {name}
            </option>
          ))}
        </Choice>
        <TextField label="E-mail" type="email" autocomplete="username" required value={email} onValue={setEmail} />
        <TextField
          label="Password"
          hint="At least 12 characters; a few unrelated words are good."
          type="password"
          autocomplete="new-password"
          required
          minLength={12}
          value={password}
          onValue={setPassword}
        />
        {problem && <Notice kind="bad">{problem}</Notice>}
        <button type="submit" class="button button-main w-full">
          Register
        </button>
      </form>
      <p class="mt-5 text-sm text-soft">
        You will see the studies that you upload yourself.{" "}
        <a class="link" href="/login">
          Back to the login
        </a>
      </p>
    </Door>
  );
}
