// The scripts of all pages. Forms and links also work without this file.
import "./htmx-global.js";
import "htmx-ext-sse";
import "./connection.js";
import { start as startCopying } from "./copy.js";
import { start as startLogs } from "./log.js";
import { start as startPalette } from "./palette.js";
import { start as startForms } from "./forms.js";
import { start as startProof } from "./proof.js";
import { start as startTheme } from "./theme.js";
import { start as startTimes } from "./times.js";
import { start as startUploads } from "./upload.js";

startTheme();
startCopying();
startTimes();
startUploads();
startForms();
startLogs();
startProof();
startPalette();
