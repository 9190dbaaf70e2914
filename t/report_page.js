/*
 * report_page.js
 *		What is wrong with the layout of a page that is open: t/060_report_look.pl.
 *
 * An expression: a list of sentences.  open: whether to open all <details> first.
 */
(open => {
	const problems = [];
	const say = (...what) => { if (problems.length < 40) problems.push(what.join(' ')); };
	const short = text => JSON.stringify(text.trim().slice(0, 40));

	document.querySelectorAll('details').forEach(d => { d.open = open; });

	/* What is read, with the places of its lines. */
	const lines = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const node = walker.currentNode, at = node.parentElement;
		if (node.data.trim() === '' || at.closest('title, desc, style, .skip'))
			continue;
		if (!at.checkVisibility())
			continue;
		const range = document.createRange();
		range.selectNodeContents(node);
		for (const box of range.getClientRects()) {
			if (box.width > 1 && box.height > 1)
				lines.push({ box, at, text: node.data });
		}
	}
	if (lines.length < 20)
		say('only', lines.length, 'lines of text');

	/* Nothing over anything: less than 2 px of overlap in either direction. */
	lines.sort((a, b) => a.box.top - b.box.top);
	for (let i = 0; i < lines.length; i++) {
		const a = lines[i].box;
		for (let k = i + 1; k < lines.length && lines[k].box.top < a.bottom - 2; k++) {
			const b = lines[k].box;
			const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
			const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
			/* Lines of one paragraph may share their leading, letters do not. */
			if (w > 2 && h > 2 && h > 0.3 * Math.min(a.height, b.height))
				say(short(lines[i].text), 'overlaps', short(lines[k].text));
		}
	}

	/* Blocks of the page are one below the other. */
	const blocks = [...document.querySelectorAll('header, section, footer, figure')];
	for (const a of blocks) {
		for (const b of blocks) {
			if (a === b || a.contains(b) || b.contains(a))
				continue;
			const x = a.getBoundingClientRect(), y = b.getBoundingClientRect();
			if (Math.min(x.right, y.right) - Math.max(x.left, y.left) > 1 &&
				Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 1)
				say(a.id || a.className, 'overlaps', b.id || b.className);
		}
	}

	/* Nothing beyond the edges, but what scrolls. */
	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > width)
		say('the page is', document.documentElement.scrollWidth, 'px wide, not', width);
	for (const { box, at, text } of lines) {
		if ((box.left < 0 || box.right > width) && !at.closest('.scroll'))
			say(short(text), 'is beyond the edge');
	}
	document.querySelectorAll('.scroll').forEach(s => {
		if (s.scrollWidth > s.clientWidth && s.tabIndex !== 0)
			say('a table scrolls that the keyboard does not reach');
	});

	/* Contrast: 4.5 to 1. */
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgb = colour => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return canvas.getImageData(0, 0, 1, 1).data;
	};
	const light = colour => {
		const [r, g, b] = [...rgb(colour)].slice(0, 3).map(c => {
			c /= 255;
			return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = at => {
		for (; at; at = at.parentElement) {
			const colour = getComputedStyle(at).backgroundColor;
			if (rgb(colour)[3] > 250)
				return colour;
		}
		return 'white';
	};
	const seen = new Map();
	for (const { at, text } of lines) {
		const style = getComputedStyle(at);
		const pair = (at.closest('svg') ? style.fill : style.color) + ' on ' + behind(at);
		if (seen.has(pair))
			continue;
		const [a, b] = pair.split(' on ').map(light);
		seen.set(pair, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
		if (seen.get(pair) < 4.5)
			say(short(text), pair, 'has a contrast of', seen.get(pair).toFixed(2));
	}

	/* Every plot is told to those who do not see it, and its numbers are there. */
	document.querySelectorAll('svg[role=img]').forEach(svg => {
		const words = svg.getAttribute('aria-labelledby').split(' ')
			.map(id => document.getElementById(id));
		if (words.some(w => !w || !svg.contains(w) || w.textContent.trim() === ''))
			say('a plot has no title or description');
		if (!svg.closest('section').querySelector('table'))
			say('a plot has no table:', svg.closest('section').id);
		if (svg.getBoundingClientRect().width < 80)
			say('a plot is', svg.getBoundingClientRect().width, 'px wide');
	});
	document.querySelectorAll('svg:not([role=img])').forEach(svg => {
		if (!svg.closest('[role=img]') && svg.getAttribute('aria-hidden') !== 'true')
			say('an ornament is not hidden from those who listen');
	});

	/* Ids are unique, links lead somewhere on the page, nothing comes from elsewhere. */
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	if (new Set(ids).size !== ids.length)
		say('ids are not unique');
	document.querySelectorAll('a').forEach(a => {
		const href = a.getAttribute('href');
		if (!href.startsWith('#') || !document.getElementById(href.slice(1)))
			say('a link leads to', href);
	});
	document.querySelectorAll('script, link, img, iframe, object, embed, form, input, video, ' +
		'audio, base, foreignObject, animate, [src], [onload], [onerror], [onclick]')
		.forEach(e => say('there is a', e.tagName));
	document.querySelectorAll('th').forEach(th => {
		if (!th.scope)
			say('a heading of a table has no scope');
	});
	document.querySelectorAll('table').forEach(table => {
		const n = table.tHead.rows[0].cells.length;
		if (!table.caption || !table.caption.textContent.trim())
			say('a table has no caption');
		for (const row of table.tBodies[0].rows) {
			if (row.cells.length !== n)
				say('a row has', row.cells.length, 'cells, not', n, ':', short(row.textContent));
		}
	});
	const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1]);
	levels.forEach((level, i) => {
		if (i > 0 && level > levels[i - 1] + 1)
			say('a heading of level', level, 'follows one of level', levels[i - 1]);
	});
	if (levels.filter(l => l === 1).length !== 1)
		say('there is not one h1');
	return problems;
})
