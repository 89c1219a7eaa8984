"""How well the texts of a page in a browser can be read."""

LEAST = 4.5
"""What WCAG's level AA asks for."""
HARD_TO_READ = """([texts, least]) => {
    const parts = c => { const [r, g, b, a = 1] = c.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a]; };
    const over = ([r, g, b, a], [x, y, z]) => [a * r + (1 - a) * x, a * g + (1 - a) * y,
        a * b + (1 - a) * z, 1];
    const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = e => { const c = e ? parts(getComputedStyle(e).backgroundColor)
            : [255, 255, 255, 1];
        return c[3] === 1 ? c : over(c, behind(e.parentElement)); };
    return [...document.querySelectorAll(texts)].filter(e => e.innerText).filter(e => {
        const ground = behind(e), ink = over(parts(getComputedStyle(e).color), ground);
        const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < least; }).map(e => e.innerText);
}"""
"""The texts of some selectors whose contrast with what is behind them is below a least."""
