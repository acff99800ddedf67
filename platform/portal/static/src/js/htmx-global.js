// The SSE extension needs htmx as a global. No eval and no injected styles: the content security policy forbids both.
import htmx from "htmx.org";

htmx.config.allowEval = false;
htmx.config.includeIndicatorStyles = false;
htmx.config.historyCacheSize = 0;
window.htmx = htmx;
