"""How a report looks: on a wide screen, on a phone, in the dark, and on paper."""

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff;
  --ink: #1d2126;
  --soft: #59626c;
  --rule: #d8dde2;
  --tint: #f4f6f8;
  --accent: #0067a0;
  --best: #e8f2f9;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b;
    --ink: #dde2e7;
    --soft: #98a2ad;
    --rule: #343b43;
    --tint: #1d2227;
    --accent: #74bdec;
    --best: #1b3142;
  }
}
* { box-sizing: border-box; }
html {
  -webkit-text-size-adjust: 100%;
  text-size-adjust: 100%;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
    "Liberation Sans", Arial, sans-serif, "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC",
    "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans CJK KR";
}
body {
  max-width: 54rem;
  margin: 0 auto;
  padding: 3.5rem 1.25rem 5rem;
  background: var(--paper);
  color: var(--ink);
  font-size: 1.0625rem;
  line-height: 1.6;
  overflow-wrap: break-word;
}
p, h1, h2, h3, h4, dl { max-width: 42rem; }
h1, h2, h3, h4 { line-height: 1.2; text-wrap: balance; }
h1 { margin: 0; font-size: 2.25rem; letter-spacing: -0.01em; }
h2 { margin: 3.5rem 0 1rem; font-size: 1.5rem; }
h3 { margin: 2.5rem 0 0.75rem; font-size: 1.1875rem; }
h2 + section > h3 { margin-top: 1.5rem; }
h2 .number, h3 .number, h4 .number { margin-right: 0.35em; color: var(--soft); font-weight: 400; }
p { margin: 0 0 1rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
:target { scroll-margin-top: 1rem; }
code, pre {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono",
    monospace;
}
code { padding: 0.1em 0.3em; border-radius: 3px; background: var(--tint); font-size: 0.875em; }

.subtitle { margin: 0.6rem 0 0; color: var(--soft); font-size: 1.1875rem; line-height: 1.4; }
header dl { display: table; margin: 1.75rem 0 0; font-size: 0.9375rem; line-height: 1.4; }
header dl div { display: table-row; }
dt, dd { display: table-cell; padding-bottom: 0.3rem; }
dt { padding-right: 1.5rem; color: var(--soft); white-space: nowrap; }

nav { margin: 2.25rem 0 0; padding: 1.25rem 0; border: solid var(--rule); border-width: 1px 0; }
nav h2 {
  margin: 0 0 0.5rem;
  color: var(--soft);
  font-size: 0.8125rem;
  font-weight: 600;
  letter-spacing: 0;
}
nav ol { margin: 0; padding: 0; list-style: none; font-size: 0.9375rem; line-height: 1.4; }
nav ol ol { padding-left: 1.6rem; font-size: 0.875rem; }
nav a { display: block; padding: 0.2rem 0 0.2rem 1.6rem; text-indent: -1.6rem; }
nav .number { display: inline-block; min-width: 1.6rem; color: var(--soft); text-indent: 0; }
nav ol ol a { padding-left: 2.1rem; text-indent: -2.1rem; }
nav ol ol .number { min-width: 2.1rem; }

figure, .scroll { margin: 1.75rem 0 2rem; }
img {
  display: block;
  max-width: 100%;
  height: auto;
  border-radius: 2px;
}
figcaption, caption {
  color: var(--soft);
  font-size: 0.875rem;
  line-height: 1.45;
  text-align: left;
}
figcaption { max-width: 42rem; margin-top: 0.6rem; }
figcaption b, caption b { color: var(--ink); font-weight: 600; }
.still { display: none; }
@media (prefers-reduced-motion: reduce) { .still { display: inline; } }
@media screen and (prefers-color-scheme: dark) {
  img { padding: 0.5rem; border-radius: 6px; background: #ffffff; }
}

.scroll { overflow-x: auto; container-type: inline-size; }
table {
  min-width: min(100%, 34rem);
  border-collapse: collapse;
  font-size: 0.9375rem;
  line-height: 1.35;
  font-variant-numeric: lining-nums tabular-nums;
}
caption { padding-bottom: 0.6rem; }
caption span { display: block; position: sticky; left: 0; max-width: min(100cqw, 42rem); }
th, td { padding: 0.4rem 0.75rem; text-align: left; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0.4rem; }
th:last-child, td:last-child { padding-right: 0.4rem; }
thead th {
  border: solid var(--soft);
  border-width: 1px 0;
  font-weight: 600;
  vertical-align: bottom;
}
tbody th { font-weight: 400; }
tbody th, tbody td { border-bottom: 1px solid var(--rule); }
tbody tr:last-child th, tbody tr:last-child td { border-bottom-color: var(--soft); }
th.number, td.number { text-align: right; }
td.number, tbody th.number { white-space: nowrap; }
.best th, .best td { background: var(--best); font-weight: 700; }

.listing figcaption { margin: 0 0 0.6rem; }
pre {
  width: fit-content;
  min-width: min(100%, 34rem);
  max-width: 100%;
  max-height: 34rem;
  margin: 0;
  padding: 0.8rem 1rem;
  overflow: auto;
  border-radius: 4px;
  background: var(--tint);
  font-size: 0.8125rem;
  line-height: 1.5;
  overflow-wrap: normal;
}
pre.columns { width: auto; }
pre code { display: block; padding: 0; background: none; font-size: 1em; column-gap: 3ch; }
.formula {
  max-width: none;
  margin: 1.25rem 0;
  padding-left: 2rem;
  font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", "DejaVu Math TeX Gyre", serif;
  font-size: 1.125rem;
  white-space: pre-wrap;
}

@media screen and (min-width: 84rem) {
  body {
    display: grid;
    grid-template: auto 1fr / 15rem 54rem;
    column-gap: 4rem;
    max-width: 76rem;
  }
  header, main { grid-column: 2; }
  nav {
    position: sticky;
    top: 3.5rem;
    grid-column: 1;
    grid-row: 1 / span 2;
    align-self: start;
    max-height: calc(100vh - 5rem);
    margin: 0;
    padding: 0;
    overflow-y: auto;
    border: 0;
  }
}
@media screen and (max-width: 36rem) {
  body { padding-top: 2rem; font-size: 1rem; }
  h1 { font-size: 1.75rem; }
  h2 { margin-top: 2.75rem; font-size: 1.3125rem; }
  header dl { display: block; }
  header dl div, dt, dd { display: block; margin: 0; }
  dt { padding: 0.2rem 0 0; }
  nav a { padding-top: 0.35rem; padding-bottom: 0.35rem; }
  th, td { padding: 0.4rem 0.5rem; }
  .formula { padding-left: 0.75rem; }
}

@page {
  size: A4;
  margin: 22mm 20mm 24mm;
  @top-left { content: string(title); color: #59626c; font-size: 8pt; }
  @bottom-right { content: counter(page) " / " counter(pages); color: #59626c; font-size: 8pt; }
}
@page :first { @top-left { content: none; } }
@media print {
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; font-size: 1rem; line-height: 1.5; }
  h1 { font-size: 2rem; string-set: title content(); }
  h2 { margin-top: 2.25rem; }
  h1, h2, h3, h4, .listing figcaption, caption { break-after: avoid; }
  p, h1 { max-width: none; orphans: 3; widows: 3; }
  a { color: inherit; }
  nav { break-inside: avoid; }
  nav a::after { content: leader(". ") target-counter(attr(href), page); color: var(--soft); }
  nav a, nav ol ol a { padding: 0.1rem 0; text-indent: 0; }
  figure, tr { break-inside: avoid; }
  figure, .scroll { margin: 1.25rem 0 1.5rem; }
  .listing { break-inside: auto; }
  img { max-height: 200mm; width: auto; }
  .still { display: inline; }
  .scroll { overflow: visible; }
  table { width: 100%; font-size: 0.875rem; }
  caption span { max-width: none; }
  thead { display: table-header-group; }
  td.number, tbody th.number { white-space: normal; }
  .wide { font-size: 0.75rem; }
  .wide th, .wide td { padding: 0.3rem 0.2rem; }
  pre {
    max-height: none;
    overflow: visible;
    orphans: 4;
    widows: 4;
    overflow-wrap: anywhere;
    white-space: pre-wrap;
  }
}
"""
