/* global Redoc */
Redoc.init('/openapi.json', { hideDownloadButton: false, pathInMiddlePanel: true }, document.getElementById('reference'))
