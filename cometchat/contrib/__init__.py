"""What the SDK brings for other libraries, a module for each: none is loaded by ``import cometchat``.

A module imports the library it is named after, which its extra installs (``pip install 'cometchat[django]'``), and of
the SDK the public names only.
"""
