importScripts("/client/widecast.iife.js", "/echo.js");
