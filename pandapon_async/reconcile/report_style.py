"""The style of the report: light or dark like the reader's device, and usable on a phone."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["STYLE", "card_labels"]

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
main{max-width:1320px;margin:0 auto;padding:40px 24px 56px}
header{margin-bottom:28px}
.eyebrow{margin:0 0 6px;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
h1{margin:0;font-size:clamp(26px,5vw,38px);line-height:1.18;font-weight:650;letter-spacing:-.015em;
  text-wrap:balance}
.facts{margin:10px 0 0;color:var(--soft);overflow-wrap:anywhere}
h2{margin:0 0 4px;font-size:18px;font-weight:620}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px 24px;
  margin:16px 0}
section>p{margin:0 0 14px;color:var(--soft);font-size:14px}
.tiles{display:grid;grid-template-columns:1.5fr repeat(4,1fr);gap:12px;margin:0;padding:0;list-style:none}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px}
.tiles b{display:block;font-size:26px;font-weight:640;line-height:1.2;letter-spacing:-.01em}
.tiles .long b{font-size:17px}
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
small{display:block;color:var(--soft);font-size:12.5px;white-space:normal;margin-top:2px}
.number{text-align:right}
.number+td:not(.number),.number+th:not(.number){padding-left:10px}
.id{display:table;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12.5px}
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
.differs span{color:var(--money);font-weight:600}
#list td:first-child span{font-weight:640}
#list td small{max-width:230px;overflow-wrap:anywhere}
#list td.number small{max-width:165px;margin-left:auto}
#list td:nth-child(5) small{white-space:nowrap}
#list td:nth-child(3){white-space:normal;min-width:88px;max-width:150px;overflow-wrap:anywhere}
#list .do{white-space:normal;min-width:150px;max-width:210px;padding-right:0;overflow-wrap:anywhere}
.live #list th span{cursor:pointer}.live #list th span:hover{color:var(--ink)}
#list th[aria-sort]{color:var(--ink)}
#list th[aria-sort=ascending] span::after{content:" \\2191"}
#list th[aria-sort=descending] span::after{content:" \\2193"}
.live #list .id{cursor:copy}.live #list .id:hover{text-decoration:underline dotted}
#list .id[data-done]::after{content:" \\2713  " attr(data-done);color:var(--good)}
#bar{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:0 0 12px}
#bar[hidden]{display:none}
#bar input,#bar select{font:inherit;font-size:14px;color:var(--ink);background:var(--card);
  border:1px solid var(--line);border-radius:8px;padding:6px 10px;max-width:100%}
#bar input{flex:1 1 220px}
#bar output{flex:1 1 100%;color:var(--soft);font-size:13px}
:focus-visible{outline:2px solid var(--books);outline-offset:2px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 20px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:13px;margin-top:22px}
@media screen and (max-width:760px){
  main{padding:24px 14px 40px}
  section{padding:18px 16px}
  .scroll{margin:0 -16px;padding:0 16px}
  .tiles{grid-template-columns:repeat(2,1fr);gap:10px}
  .tiles li:first-child{grid-column:1/-1}
  .pair{grid-template-columns:minmax(0,1fr)}
  .wide{display:none}
  table{font-size:13px}
  th,td{padding-right:12px}
  dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
  #list,#list tbody{display:block}
  #list thead{display:none}
  #list tr:not([hidden]){display:block;border:1px solid var(--line);border-radius:12px;padding:10px 14px;
    margin:0 0 12px}
  #list td,#list td.do,#list td:nth-child(3){display:grid;grid-template-columns:108px 1fr;gap:0 12px;
    text-align:left;white-space:normal;border:0;padding:4px 0;min-width:0;max-width:none}
  #list td::before{grid-row:1/span 2;color:var(--soft)}
  #list td>*{grid-column:2;justify-self:start}
  #list td.number small,#list td small{max-width:none;margin-left:0}
  #list .id{padding:2px 0}
}
@page{size:A4 landscape;margin:11mm}
@media print{
  :root{color-scheme:light;--paper:#fff}
  body{background:#fff;font-size:13px}
  main{max-width:none;padding:0}
  section,.tiles li{border-color:#ccc}
  section:not(.listed),.tiles,tr{break-inside:avoid}
  section.listed{border:0;padding:0}
  thead{display:table-header-group}
  .scroll{overflow:visible;margin:0;padding:0}
  table{font-size:11px}small,.id{font-size:10px}.chip{font-size:11px;padding:0 6px}
  td{padding:5px 8px 5px 0}
  #list .do{min-width:110px}
  #bar input,#bar select{display:none}
}
"""


def card_labels(heads: Sequence[str]) -> str:
    """Return the style for phones, where a row is a card and each value has the name of its column."""
    rules = "".join(
        f'#list td:nth-child({place}):not(:empty)::before{{content:"{head}"}}'
        for place, head in enumerate(heads, start=1)
    )
    return f"@media screen and (max-width:760px){{{rules}}}"
