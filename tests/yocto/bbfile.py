# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads recipes and the like without BitBake, to find what can't be right.

Of BitBake's language only what our layer uses is known; what is not known is
an error.
"""

import re
import subprocess
import textwrap

NAME = r'[A-Za-z0-9_.${}/-]+'
ASSIGNMENT = re.compile(
    rf'(?P<name>{NAME}(?::{NAME})*)(?:\[(?P<flag>[^\]]+)\])?\s*'
    r'(?:\?\?=|\?=|:=|\+=|=\+|\.=|=\.|=)\s*'
    r'(?P<quote>["\'])(?P<value>.*)(?P=quote)$')
DIRECTIVE = re.compile(r'(?:require|include|inherit)\s+(?P<what>\S.*)$')
FUNCTION = re.compile(r'(?P<python>python\s+)?(?P<name>[A-Za-z0-9_:]*)\s*'
                      r'\(\)\s*\{$')
EXPRESSION = re.compile(r'\$\{@(.*?)\}')


class BBSyntaxError(Exception):
    """With the file, and the line if it is known."""


class BBFile:
    """The variables, includes and functions of a recipe.

    variables: (name, flag or None) -> value, of the last assignment
    includes: the names after require and include, inherit too
    python: name -> code of the body; '' is an anonymous function's name
    """

    def __init__(self, path):
        self.path = path
        self.variables = {}
        self.includes = []
        self.python = {}
        lines = iter(path.read_text().splitlines())
        for line in lines:
            if line and not line.startswith('#'):
                self.statement(self.joined(line, lines), lines)

    def fail(self, text):
        raise BBSyntaxError(f'{self.path}: {text}')

    def joined(self, line, lines):
        while line.endswith('\\'):
            following = next(lines, None)
            if following is None:
                self.fail('the last line is to be continued')
            line = line[:-1] + following
        return line

    def statement(self, line, lines):
        for expression in EXPRESSION.findall(line):
            self.compiled(expression, 'eval')
        if function := FUNCTION.match(line):
            self.function(function, lines)
        elif directive := DIRECTIVE.match(line):
            self.includes.append(directive['what'])
        elif assignment := ASSIGNMENT.match(line):
            if assignment['quote'] in assignment['value']:
                self.fail(f'a quote too many: {line}')
            name = (assignment['name'], assignment['flag'])
            self.variables[name] = assignment['value']
        else:
            self.fail(f'not understood: {line}')

    def function(self, function, lines):
        body = []
        for line in lines:
            if line == '}':
                break
            body.append(line)
        else:
            self.fail(f'no end of function {function["name"]}()')
        if function['python']:
            code = textwrap.dedent('\n'.join(body))
            self.python[function['name']] = self.compiled(code, 'exec')
        else:
            self.check_shell('\n'.join(body))

    def compiled(self, code, mode):
        try:
            return compile(code, str(self.path), mode)
        except SyntaxError as error:
            return self.fail(error)

    def check_shell(self, code):
        done = subprocess.run(['sh', '-n'], input=code, text=True,
                              capture_output=True, check=False)
        if done.returncode:
            self.fail(done.stderr)
