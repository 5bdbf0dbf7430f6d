// Small hooks that several views share.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, messageOf, Problem } from "./api";

export interface Loaded<T> {
  value: T | undefined;
  problem: string;
  status: number;
  reload: () => void;
}

export function useLoaded<T>(path: string): Loaded<T> {
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState({ sentence: "", status: 200 });
  const [round, setRound] = useState(0);
  // `round` is there to load again.
  useEffect(() => {
    let current = true;
    get<T>(path).then(
      (answer) => {
        if (!current) return;
        setValue(answer);
        setProblem({ sentence: "", status: 200 });
      },
      (error) => {
        if (current) setProblem({ sentence: messageOf(error), status: error instanceof Problem ? error.status : 0 });
      },
    );
    return () => {
      current = false;
    };
  }, [path, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  return { value, problem: problem.sentence, status: problem.status, reload };
}

export function isTyping(event: KeyboardEvent): boolean {
  return event.target instanceof Element && event.target.closest("input, textarea, select") !== null;
}

// Keys act on the page as a whole, except while somebody types.
export function useKeys(keys: Record<string, () => void>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Bonecraft`;
  }, [title]);
}

export function useEvery(milliseconds: number, act: () => void): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const timer = setInterval(() => latest.current(), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}
