import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useId } from "preact/hooks";

interface Labelled {
  label: string;
  hint?: string;
}

interface TextFieldProps extends Labelled {
  value: string;
  onValue: (value: string) => void;
  type?: "text" | "email" | "password" | "number";
  autocomplete?: string;
  placeholder?: string;
  required?: boolean;
  minLength?: number;
  step?: string;
  min?: string;
  max?: string;
}

export function TextField({ label, hint, value, onValue, type = "text", ...rest }: TextFieldProps) {
  const id = useId();
  // Preact's types tie every attribute to one literal type of input; this field serves several.
  const kind = { type, ...rest } as InputHTMLAttributes<HTMLInputElement>;
  return (
    <div>
      <label for={id} class="mb-1 block text-sm text-soft">
        {label}
      </label>
      <input
        id={id}
        class="field"
        value={value}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onInput={(event) => onValue(event.currentTarget.value)}
        {...kind}
      />
      {hint && (
        <p id={`${id}-hint`} class="mt-1 text-xs text-faint">
          {hint}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps extends Labelled {
  value: string;
  onValue: (value: string) => void;
  children: ComponentChildren;
  required?: boolean;
}

export function Choice({ label, hint, value, onValue, children, ...rest }: ChoiceProps) {
  const id = useId();
  return (
    <div>
      <label for={id} class="mb-1 block text-sm text-soft">
        {label}
      </label>
      <select id={id} class="field" value={value} onChange={(event) => onValue(event.currentTarget.value)} {...rest}>
        {children}
      </select>
      {hint && <p class="mt-1 text-xs text-faint">{hint}</p>}
    </div>
  );
}
