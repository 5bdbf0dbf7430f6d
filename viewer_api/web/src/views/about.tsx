import { Notice } from "../components/notice";
import { useLoaded, useTitle } from "../hooks";
import type { About } from "../types";

export function AboutView() {
  useTitle("About");
  const about = useLoaded<About>("/api/about");
  if (about.problem) return <Notice kind="bad">{about.problem}</Notice>;
  if (!about.value) return null;
  const { version, licence, disclaimer, models } = about.value;
  return (
    <div class="mx-auto max-w-4xl space-y-6">
      <h1 class="text-xl font-semibold">About Bonecraft {version}</h1>
      <Notice kind="warn">{disclaimer}</Notice>
      <p class="max-w-[70ch] leading-relaxed text-soft">
        Bonecraft receives plain radiographs, reconstructs bones in three dimensions from them, says how far each result
        can be trusted, and writes the results back into the study. The program is licensed under {licence}; the models
        carry licences of their own.
      </p>
      <section class="panel overflow-x-auto">
        <h2 class="border-b border-line px-4 py-3 font-semibold">Models</h2>
        <table class="w-full text-sm">
          <thead>
            <tr>
              <th class="px-4 py-2">Model</th>
              <th class="px-4 py-2">Version</th>
              <th class="px-4 py-2">Made from</th>
              <th class="px-4 py-2">Licence</th>
            </tr>
          </thead>
          <tbody>
            {models.map((model) => (
              <tr key={model.name} class="border-t border-line">
                <td class="px-4 py-2">{model.name}</td>
                <td class="px-4 py-2 whitespace-nowrap text-soft">{model.version}</td>
                <td class="px-4 py-2 text-soft">{model.training_data}</td>
                <td class="px-4 py-2 whitespace-nowrap">{model.licence}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {models.length === 0 && <p class="px-4 py-3 text-sm text-soft">No models are installed on this node.</p>}
      </section>
    </div>
  );
}
