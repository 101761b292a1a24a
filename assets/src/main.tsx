import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";
import { render } from "preact";
import { App } from "./app";
import { start } from "./ui/state";

const root = document.getElementById("app");
if (root) {
  root.textContent = "";
  render(<App />, root);
}
start();
