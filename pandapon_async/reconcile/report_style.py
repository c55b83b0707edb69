"""The look of the report: quiet, light or dark as the reader's device is, whole on a phone."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{
  color-scheme:light dark;
  --paper:#f7f6f3;--card:#ffffff;--ink:#1c2330;--soft:#5d6675;--line:#e6e3dc;--track:#efede7;
  --good:#2f7d6b;--money:#c2562d;--drift:#96700f;--books:#5b76a6;--open:#7d8794;
  --good-bg:#e4f1ed;--money-bg:#fbe9e1;--drift-bg:#f8efd6;--books-bg:#e7ecf5;--open-bg:#eceef0;
}
@media (prefers-color-scheme:dark){:root{
  --paper:#14181e;--card:#1c222a;--ink:#e7e9ec;--soft:#9aa4b2;--line:#2c343f;--track:#28303a;
  --good:#5fb8a1;--money:#e58a63;--drift:#d9b44f;--books:#8ba8dc;--open:#8e98a5;
  --good-bg:#1d3530;--money-bg:#3d281f;--drift-bg:#38301a;--books-bg:#232e42;--open-bg:#2a3038;
}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"PingFang SC","Microsoft YaHei",
  "Noto Sans CJK SC",sans-serif;
  font-variant-numeric:tabular-nums}
main{max-width:1080px;margin:0 auto;padding:40px 24px 56px}
header{margin-bottom:28px}
.eyebrow{margin:0 0 6px;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
h1{margin:0;font-size:clamp(26px,5vw,38px);line-height:1.18;font-weight:650;letter-spacing:-.015em;
  text-wrap:balance}
.facts{margin:10px 0 0;color:var(--soft);overflow-wrap:anywhere}
h2{margin:0 0 4px;font-size:18px;font-weight:620}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;
  margin:16px 0}
section>p{margin:0 0 14px;color:var(--soft);font-size:14px}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:0;padding:0;list-style:none}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px}
.tiles b{display:block;font-size:26px;font-weight:640;line-height:1.2;letter-spacing:-.01em}
.tiles span{color:var(--soft);font-size:14px}
.pair{display:grid;grid-template-columns:3fr 2fr;gap:16px;align-items:start}
.pair section{margin:0}
.pair{margin:16px 0}
svg{display:block;width:100%;overflow:visible}
svg text{fill:var(--ink);font-size:14px}
svg .count{text-anchor:end;font-weight:600}
svg .none{fill:var(--soft);font-weight:400}
svg .track{fill:var(--track)}
.good{fill:var(--good)}.money{fill:var(--money)}.drift{fill:var(--drift)}.books{fill:var(--books)}
  .open{fill:var(--open)}
.scroll{overflow-x:auto;margin:0 -24px;padding:0 24px;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:14px}
th{color:var(--soft);font-weight:500;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line);
  padding:8px 14px 8px 0}
td{border-bottom:1px solid var(--line);padding:9px 14px 9px 0;vertical-align:top;white-space:nowrap}
tr:last-child td{border-bottom:0}
td.why{white-space:normal;color:var(--soft)}
small{display:block;color:var(--soft);font-size:13px;white-space:normal;max-width:300px}
td small{margin-top:2px}
.number{text-align:right}
.number+td:not(.number),.number+th:not(.number){padding-left:10px}
.id{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px}
.wide{padding-left:18px}
.group{color:var(--ink);font-weight:620;font-size:15px}
tbody+tbody th{padding-top:26px}
hr{border:0;border-top:1px solid var(--line);margin:18px 0 16px}
h2+svg{margin-top:12px}
.ink.drift{color:var(--drift);font-weight:550}
.sum td{font-weight:600;border-top:1px solid var(--line)}
.chip{display:inline-block;border-radius:999px;padding:1px 10px;font-size:13px;font-weight:550}
.chip.good{background:var(--good-bg);color:var(--good)}.chip.money{background:var(--money-bg);
  color:var(--money)}
.chip.drift{background:var(--drift-bg);color:var(--drift)}.chip.books{background:var(--books-bg);
  color:var(--books)}
.chip.open{background:var(--open-bg);color:var(--open)}
.differs{color:var(--money);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 20px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:13px;margin-top:22px}
@media (max-width:760px){
  main{padding:24px 14px 40px}
  section{padding:18px 16px}
  .scroll{margin:0 -16px;padding:0 16px}
  .tiles{grid-template-columns:repeat(2,1fr);gap:10px}
  .pair{grid-template-columns:minmax(0,1fr)}
  .wide{display:none}
  table{font-size:13px}
  th,td{padding-right:12px}
  td small{min-width:180px;max-width:220px;font-size:12px}
  dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
}
@media print{body{background:#fff}section,.tiles li{break-inside:avoid;border-color:#ccc}
  .scroll{overflow:visible}}
"""
