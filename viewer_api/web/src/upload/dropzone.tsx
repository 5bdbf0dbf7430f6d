import { useRef, useState } from "preact/hooks";

const ACCEPTED = ".png,.jpg,.jpeg,.dcm,image/png,image/jpeg,application/dicom";

export function DropZone({ add }: { add: (files: FileList | null) => void }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  return (
    <section
      aria-label="Files"
      class={`rounded-xl border-2 border-dashed px-6 py-10 text-center ${over ? "border-bone bg-raised" : "border-line"}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        add(event.dataTransfer?.files ?? null);
      }}
    >
      <p class="mb-3 text-soft">Drop the radiographs of one study here: DICOM, PNG or JPEG.</p>
      <button type="button" class="button" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <input
        ref={input}
        type="file"
        multiple
        accept={ACCEPTED}
        class="sr-only"
        tabIndex={-1}
        aria-label="Radiographs"
        onChange={(event) => {
          add(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </section>
  );
}
