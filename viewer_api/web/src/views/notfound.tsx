import { useTitle } from "../hooks";

export function NotFoundView() {
  useTitle("Not found");
  return (
    <div class="mx-auto max-w-md py-24 text-center">
      <h1 class="mb-3 text-xl font-semibold">There is nothing here</h1>
      <p class="mb-6 text-soft">
        The address is wrong, or what it names belongs to another institution or another person.
      </p>
      <a class="button" href="/studies">
        To the studies
      </a>
    </div>
  );
}
