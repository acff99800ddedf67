// The SSE extension expects htmx as a global. No eval, no injected styles: the page's content security policy allows neither.
import htmx from "htmx.org";

htmx.config.allowEval = false;
htmx.config.includeIndicatorStyles = false;
htmx.config.historyCacheSize = 0;
window.htmx = htmx;
