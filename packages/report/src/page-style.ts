import { paletteStyle } from './palette.ts';

/** The style of a page: light and dark, for a telephone, a screen and paper. */
export const pageStyle = `${paletteStyle(':root')}
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem clamp(.9rem,3vw,2rem) 4rem;
background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI","Liberation Sans","DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .6rem}
h2{font-size:1.25rem;margin:2.6rem 0 .7rem;padding-top:.9rem;border-top:1px solid var(--rule)}
h3{font-size:1.02rem;margin:1.7rem 0 .4rem}
p,li{max-width:46rem}p{margin:.5rem 0}ul{padding-left:1.2rem}li{margin:.3rem 0}
.many{columns:2 26rem;column-gap:2.5rem;font-size:.88rem}.many li{break-inside:avoid}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:1rem 0 0;padding:0}
a{color:var(--blue);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr));
gap:.9rem 1.4rem;align-items:start;margin:.9rem 0}
figure{margin:0;min-width:0;break-inside:avoid}
figure svg{display:block;width:100%;max-width:25rem;height:auto}
figcaption{font-size:.78rem;line-height:1.35;color:var(--soft);margin:.15rem 0 .4rem}
.table{overflow-x:auto;margin:.9rem 0}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-size:.82rem;padding-bottom:.35rem}
th,td{padding:.28rem .8rem .28rem 0;border-bottom:1px solid var(--rule);vertical-align:top;
text-align:left;font-weight:400}
thead th{font-weight:600;border-bottom:2px solid var(--rule);vertical-align:bottom}
tbody th{min-width:9rem}@media(min-width:60rem){tbody th{white-space:nowrap}}td{min-width:3rem}
td.long{min-width:16rem}
.right{text-align:right}td.right{white-space:nowrap}thead th{max-width:13rem}
.swatch{width:.7rem;height:.7rem;border-radius:2px;margin-right:.45rem;vertical-align:-.03em}
details{margin:.8rem 0;border:1px solid var(--rule);border-radius:6px;padding:.5rem .9rem}
summary{cursor:pointer;font-weight:600;font-size:.92rem}
footer{margin-top:3rem;border-top:1px solid var(--rule);padding-top:.8rem;color:var(--soft);font-size:.82rem}
@media print{body{max-width:none;padding:0;font-size:10.5pt}nav{display:none}
.table{overflow:visible}
h2,h3,caption,thead{break-after:avoid}tr{break-inside:avoid}.charts{grid-template-columns:repeat(2,1fr)}}`;
