"""The site's script, docs/_static/site.js, in a real Chromium: copy buttons."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "_static" / "site.js"

#: Maximum wait for the page, in milliseconds, also on a busy machine.
DEADLINE = 30_000

#: Code blocks with Sphinx's markup, and a field to paste into.
PAGE = """<!DOCTYPE html><meta charset="utf-8"><script src="/site.js"></script>
<div class="highlight-python notranslate" id="shell"><div class="highlight"><pre><span></span>\
<span class="gp">&gt;&gt;&gt; </span><span class="k">for</span> <span class="n">n</span> in 1, 2:
<span class="gp">... </span>    <span class="nb">print</span>(n &lt; 2)
<span class="gp">...</span>
<span class="go">True</span>
<span class="go">False</span>
</pre></div></div>
<div class="highlight-console notranslate" id="console"><div class="highlight"><pre><span></span>\
<span class="gp">$ </span>python<span class="w"> </span>bot.py
<span class="go">connected</span>
</pre></div></div>
<div class="highlight-python notranslate" id="file"><div class="highlight"><pre><span></span>\
<span class="k">if</span> ready:
    start()
</pre></div></div>
<div class="highlight-text notranslate" id="output"><div class="highlight"><pre>connected</pre></div></div>
<textarea></textarea>"""

#: Block -> the text that its button copies: the input, without prompts and without output.
COPIED = {
    "shell": "for n in 1, 2:\n    print(n < 2)\n\n",
    "console": "python bot.py\n",
    "file": "if ready:\n    start()\n",
}


@pytest.fixture(params=["https", "http"])
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """The page, where the browser has a clipboard for scripts (https) and where it has not (http)."""
    errors: List[str] = []
    opened = browser.new_page()
    opened.set_default_timeout(DEADLINE)
    opened.add_init_script("window.setTimeout = () => 0;")  # a button keeps its "Copied" until the test has read it
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.route("**/*", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    opened.route("**/site.js", lambda route: route.fulfill(path=SCRIPT, content_type="text/javascript"))
    opened.goto(f"{request.param}://docs.test/")
    yield opened
    opened.close()
    assert errors == []


def test_copy_buttons_copy_the_input(page: Any) -> None:
    """Each button copies its block without prompts and output, and says so. A block of output has no button."""
    field = page.locator("textarea")
    for block, text in COPIED.items():
        button = page.locator(f"#{block}").get_by_role("button", name="Copy", exact=True)
        button.click()
        page.locator(f"#{block}").get_by_role("button", name="Copied").wait_for()
        field.fill("")
        field.press("Control+V")
        assert field.input_value() == text
    assert page.get_by_role("button").count() == len(COPIED)
