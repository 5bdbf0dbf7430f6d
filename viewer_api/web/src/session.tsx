// Who is logged in, known to every view.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Permission, Session } from "./types";

export interface SessionDoor {
  session: Session;
  enter: (session: Session) => void;
}

export const SessionContext = createContext<SessionDoor | null>(null);

export function useSession(): SessionDoor {
  const door = useContext(SessionContext);
  if (!door) throw new Error("a view was drawn before the session was known");
  return door;
}

export function useMay(permission: Permission): boolean {
  return useSession().session.permissions.includes(permission);
}
