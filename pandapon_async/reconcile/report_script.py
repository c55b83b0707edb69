"""The script of the report: it sorts, filters, searches and copies ids; the page is complete without it.

It creates no markup: it moves and hides cells, and sets options and texts as text. The page's policy allows
only this script, by its hash, so no script from a ledger could run.
"""

from __future__ import annotations

import base64
import hashlib

__all__ = ["SCRIPT", "SCRIPT_HASH"]

SCRIPT = """
(function(){
'use strict';
var list=document.getElementById('list'),bar=document.getElementById('bar');
if(!list||!bar)return;
var body=list.tBodies[0],rows=Array.prototype.slice.call(body.rows),heads=list.tHead.rows[0].cells;
var find=bar.querySelector('input'),picks=bar.querySelectorAll('select'),told=bar.querySelector('output');
var facts=rows.map(function(row){return{
  row:row,numbers:row.dataset.n.split('|').map(function(n){return n===''?null:Number(n)}),
  verdict:row.dataset.v,currency:row.dataset.c,shop:row.cells[2].firstChild.textContent,
  text:row.textContent.toLowerCase()}});
var shops=[];
facts.forEach(function(one){if(one.shop&&shops.indexOf(one.shop)<0)shops.push(one.shop)});
shops.sort().forEach(function(shop){
  var option=document.createElement('option');
  option.textContent=shop;option.value=shop;picks[1].appendChild(option)});
function grouped(fen){
  var sign=fen<0?'-':'',whole=String(Math.floor(Math.abs(fen)/100)),rest=String(Math.abs(fen)%100);
  return sign+whole.replace(/\\B(?=(\\d{3})+$)/g,',')+'.'+(rest.length<2?'0'+rest:rest)}
function show(){
  var words=find.value.toLowerCase().split(/\\s+/).filter(Boolean),count=0,sums={};
  facts.forEach(function(one){
    var seen=(!picks[0].value||one.verdict===picks[0].value)&&(!picks[1].value||one.shop===picks[1].value)&&
      (!picks[2].value||(one.numbers[2]!==null&&one.numbers[2]>Number(picks[2].value)))&&
      words.every(function(word){return one.text.indexOf(word)>=0});
    one.row.hidden=!seen;
    if(seen){count++;sums[one.currency]=(sums[one.currency]||0)+(one.numbers[0]||0)}});
  var money=Object.keys(sums).filter(function(name){return sums[name]}).map(function(name){
    return(name==='CNY'?'\\u00a5':name+' ')+grouped(sums[name])}).join(' + ')||'\\u00a50.00';
  told.textContent=told.dataset.text.replace('{shown}',count).replace('{all}',facts.length)
    .replace('{amount}',money)}
function sort(column){
  var head=heads[column],key=head.dataset.k,down=head.getAttribute('aria-sort')!=='descending';
  if(key==='')down=head.getAttribute('aria-sort')==='ascending';
  function value(one){return key===''?one.row.cells[column].textContent:one.numbers[key]}
  facts.sort(function(a,b){
    var x=value(a),y=value(b),order;
    if(x===null||y===null)return(x===null)-(y===null)||a.numbers[1]-b.numbers[1];
    order=key===''?x.localeCompare(y):x-y;
    return(down?-order:order)||a.numbers[1]-b.numbers[1]});
  Array.prototype.forEach.call(heads,function(one){one.removeAttribute('aria-sort')});
  head.setAttribute('aria-sort',down?'descending':'ascending');
  var all=document.createDocumentFragment();
  facts.forEach(function(one){all.appendChild(one.row)});
  body.appendChild(all)}
function pressed(element,act){
  element.tabIndex=0;element.setAttribute('role','button');
  element.addEventListener('click',act);
  element.addEventListener('keydown',function(event){
    if(event.key==='Enter'||event.key===' '){event.preventDefault();act(event)}})}
Array.prototype.forEach.call(heads,function(head,column){
  var label=document.createElement('span');
  label.textContent=head.textContent;head.textContent='';head.appendChild(label);
  pressed(label,function(){sort(column)})});
function copied(cell){
  cell.dataset.done=bar.dataset.copied;
  setTimeout(function(){delete cell.dataset.done},1200)}
function byHand(cell){
  var range=document.createRange(),picked=getSelection();
  range.selectNodeContents(cell);picked.removeAllRanges();picked.addRange(range);
  if(document.execCommand('copy'))copied(cell)}
body.addEventListener('click',function(event){
  var cell=event.target;
  if(!cell.classList.contains('id'))return;
  if(navigator.clipboard&&navigator.clipboard.writeText)
    navigator.clipboard.writeText(cell.textContent).then(function(){copied(cell)},function(){byHand(cell)});
  else byHand(cell)});
find.addEventListener('input',show);
Array.prototype.forEach.call(picks,function(pick){pick.addEventListener('change',show)});
document.documentElement.classList.add('live');
bar.hidden=false;show()})();
"""

SCRIPT_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
"""The hash of the script in the page's policy."""
