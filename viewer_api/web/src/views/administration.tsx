import { useState } from "preact/hooks";
import { CalledTitles } from "../administration/calledtitles";
import { Changes } from "../administration/changes";
import { Peers } from "../administration/peers";
import { People } from "../administration/people";
import { Refusals } from "../administration/refusals";
import { RulesOfStudies } from "../administration/rules";
import { Sources } from "../administration/sources";
import { Tokens } from "../administration/tokens";
import { UpkeepOfNode } from "../administration/upkeep";
import { WaitsOfStudies } from "../administration/waits";
import { Notice } from "../components/notice";
import { useLoaded, useTitle } from "../hooks";
import type { Administration } from "../types";

export function AdministrationView() {
  useTitle("Administration");
  const [round, setRound] = useState(0);
  const loaded = useLoaded<Administration>("/api/administration");
  const settings = loaded.value;
  if (!settings) return loaded.problem ? <Notice kind="bad">{loaded.problem}</Notice> : null;
  const { quiet_seconds, maximum_wait_seconds, waits } = settings;
  const changed = () => {
    loaded.reload();
    setRound(round + 1);
  };
  return (
    <div class="mx-auto max-w-5xl space-y-5">
      <h1 class="text-xl font-semibold">
        Administration <span class="font-normal text-soft">of {settings.institution}</span>
      </h1>
      <CalledTitles titles={settings.called_ae_titles} changed={changed} />
      <WaitsOfStudies waits={{ quiet_seconds, maximum_wait_seconds, waits }} changed={changed} />
      <Refusals answered={settings.answers_refusals} changed={changed} />
      <Peers peers={settings.peers} changed={changed} />
      <Sources sources={settings.sources} changed={changed} />
      <Tokens tokens={settings.tokens} changed={changed} />
      <RulesOfStudies round={round} changed={changed} />
      <UpkeepOfNode round={round} changed={changed} />
      <People round={round} changed={changed} />
      <Changes changes={settings.changes} changed={changed} />
    </div>
  );
}
