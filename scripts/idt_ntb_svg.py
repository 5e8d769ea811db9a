# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of an IDT NTB switch, as SVG."""

from xml.sax.saxutils import escape, quoteattr

STYLE = '''
  text { font: 13px sans-serif; fill: #222 }
  .title { font-size: 17px; font-weight: bold }
  .name { font-weight: bold; font-size: 15px }
  .small { font-size: 11px; fill: #555 }
  .port { fill: #fff; stroke: #999 }
  .up { fill: #e6f4e6; stroke: #2e7d32; stroke-width: 1.5 }
'''


class Svg:
    """The elements of a picture."""

    def __init__(self):
        self.lines = []

    def add(self, tag, content=None, **attributes):
        """Add an element; class_ and text_anchor become class, text-anchor."""
        words = ' '.join(
            f'{key.rstrip("_").replace("_", "-")}={quoteattr(str(value))}'
            for key, value in attributes.items())
        end = '/>' if content is None else f'>{escape(str(content))}</{tag}>'
        self.lines.append(f'<{tag} {words}{end}')

    def label(self, x, y, content, class_='', anchor='middle'):
        self.add('text', content, x=x, y=y, text_anchor=anchor, class_=class_)

    def head(self, x, y, step):
        """The head of an arrow that comes from x + step."""
        self.add('polygon', class_='head',
                 points=f'{x},{y} {x + step},{y - 5} {x + step},{y + 5}')

    def document(self, width, height, style):
        return '\n'.join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}">',
            f'<style>{STYLE}{style.lstrip()}</style>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *self.lines, '</svg>', ''])
