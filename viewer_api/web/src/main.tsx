import { render } from "preact";
import { App } from "./app";
import { followLinksWithinThePage } from "./router";
import "./style.css";

followLinksWithinThePage();
const place = document.getElementById("page");
if (place) render(<App />, place);
