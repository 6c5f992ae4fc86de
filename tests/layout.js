// What is wrong with the page that is open, as lines of text; tests/test_layout.py runs it in a browser.
(() => {
  const SMALLEST = 11, TEXT = 4.5, MARKS = 3, SLACK = 1.5;  // pixels; ratios (WCAG 2.2: 1.4.3, 1.4.11); pixels
  const wrong = [];
  const named = node => `${node.parentElement.tagName.toLowerCase()} "${node.textContent.trim().slice(0, 40)}"`;

  // Colours over one another, and their contrast as WCAG has it.
  const parsed = text => {
    const found = (text.match(/[\d.]+/g) || []).map(Number);
    return text === "none" || found.length < 3 ? [0, 0, 0, 0] : [...found.slice(0, 3), found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = colour => colour.slice(0, 3)
    .map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const ancestors = element => element ? [...ancestors(element.parentElement), element] : [];
  const behind = element => ancestors(element)
    .map(one => parsed(getComputedStyle(one).backgroundColor)).reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  const opacity = element => ancestors(element).reduce((all, one) => all * getComputedStyle(one).opacity, 1);
  const seen = (element, paint) => {
    const colour = parsed(getComputedStyle(element)[paint]);
    const own = getComputedStyle(element)[`${paint}Opacity`];  // undefined for the color of HTML
    return [...colour.slice(0, 3), colour[3] * opacity(element) * (own === undefined ? 1 : Number(own))];
  };
  const against = (element, paint) => contrast(over(seen(element, paint), behind(element)), behind(element));

  if (document.scrollingElement.scrollWidth > innerWidth)
    wrong.push(`the page is ${document.scrollingElement.scrollWidth} wide in a window of ${innerWidth}`);

  // Every line of every text that is shown.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.tagName === "title") continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = element.ownerSVGElement ? [element.getBoundingClientRect()] : [...range.getClientRects()];
    if (!boxes.some(box => box.width)) continue;
    const svg = element.ownerSVGElement;
    const matrix = svg ? element.getScreenCTM() : null;
    const scale = matrix ? Math.sqrt(Math.abs(matrix.a * matrix.d - matrix.b * matrix.c)) : 1;
    const size = parseFloat(getComputedStyle(element).fontSize) * scale;
    if (size < SMALLEST) wrong.push(`${named(node)}: letters of ${size.toFixed(1)} pixels`);
    const ratio = against(element, svg ? "fill" : "color");
    if (ratio < TEXT) wrong.push(`${named(node)}: a contrast of ${ratio.toFixed(2)}`);
    const frame = (svg || element.closest("td, th, .tile, pre, figure, main") || document.body).getBoundingClientRect();
    for (const box of boxes) {
      if (box.left < frame.left - SLACK || box.right > frame.right + SLACK
          || box.top < frame.top - SLACK || box.bottom > frame.bottom + SLACK)
        wrong.push(`${named(node)}: lies outside of its ${svg ? "drawing" : "frame"}`);
      texts.push({ node, box });
    }
  }

  // No text lies on another; letters are lower than their boxes, which may touch.
  texts.forEach(({ node, box }, i) => {
    for (const { node: other, box: that } of texts.slice(i + 1)) {
      const across = Math.min(box.right, that.right) - Math.max(box.left, that.left);
      const down = Math.min(box.bottom, that.bottom) - Math.max(box.top, that.top);
      if (node !== other && Math.min(across, down) > 0.25 * Math.min(box.height, box.width, that.height, that.width))
        wrong.push(`${named(node)} lies on ${named(other)}`);
    }
  });

  // Nothing is cut off, and nothing has to be scrolled sideways.
  for (const element of document.body.querySelectorAll("*"))
    if (!element.ownerSVGElement && element.scrollWidth > element.clientWidth + SLACK && element.clientWidth
        && getComputedStyle(element).overflowX !== "visible")
      wrong.push(`${element.tagName.toLowerCase()}.${element.className}: ${element.scrollWidth} pixels in ${element.clientWidth}`);

  for (const mark of document.querySelectorAll(".dot circle, .cross path, .curve path, .reach path, .bar path")) {
    const best = Math.max(...["fill", "stroke"].map(paint => against(mark, paint)));
    if (best < MARKS) wrong.push(`a mark of ${mark.parentElement.getAttribute("class")}: a contrast of ${best.toFixed(2)}`);
  }
  const dark = luminance(behind(document.body)) < 0.1;
  return { wrong, texts: texts.length, width: innerWidth, dark };
})()
